"""The texts of the page of `lmcraft forget` in Chinese, by the English ones."""

FORGETTING = {
    # The page
    "Forgotten by {model}": "{model} 遗忘了什么",
    "Forgotten texts": "遗忘的文本",
    (
        "Mean loss of the tokens of each text in each model, in nats. A model that never read a text "
        "predicts it badly, like other unread ones; a lower loss shows that it knows the text."
    ): (
        "每段文本在各个模型中每词元的平均损失，单位为 nat。没读过某段文本的模型预测它的水平与预测其他没读过的"
        "文本相当；损失更低，说明模型认得它。"
    ),
    "Membership": "成员推断",
    (
        "An attack tells texts that a model was trained on from others by what the model says of them. The "
        "area under its ROC curve is 0.5 by chance and 1 if it is always right. Below 0.5, the texts look "
        "less known than unread ones: that gives away, too, that something was forgotten."
    ): (
        "攻击者根据模型的输出判断一段文本是否在训练数据中。全凭猜测时，ROC 曲线下面积为 0.5；次次猜中则为 1。"
        "低于 0.5 时，这些文本显得比没读过的还要陌生，这同样会暴露有内容被遗忘。"
    ),
    "Relearning": "重新学习",
    (
        "A model that only hides a text learns it again faster than one that never read it. The models are "
        "trained on the first half of each text, and the loss of the second half is measured on the way."
    ): ("如果模型只是把文本藏了起来，重新学会它就比从没读过的模型更快。这里用每段文本的前半训练模型，同时测量后半的损失。"),
    "Probes": "探测问题",
    (
        "A model may not continue a text any more, and still answer questions about it. Mean loss of the "
        "right answers, in nats per token."
    ): ("模型也许不再能续写某段文本，却仍能回答有关它的问题。表中是正确答案的平均损失，单位为 nat/词元。"),
    "Exposure": "暴露度",
    ("How far up the digits of a text rank among random other digits, in bits: more by as many bits as the model knows."): (
        "文本中的数字在随机替换的数字中排得多靠前，以比特计：模型知道多少比特，就高出多少。"
    ),
    "Cost": "代价",
    "What is not proved": "尚未证明的",
    # What was done
    "Exact: the run was repeated without the texts, in {steps} steps and {time}.": (
        "精确方法：去掉这些文本后重新训练，共 {steps} 步，用时 {time}。"
    ),
    (
        "Approximate: the weights were changed in {steps} steps and {time}, until the texts were as unlikely as unread ones."
    ): ("近似方法：用 {steps} 步（{time}）修改权重，直到这些文本与没读过的文本一样难以预测。"),
    (
        "Step {first} was the first to read one of them; the losses of the steps before are those of the original "
        "run, to the bit."
    ): ("第 {first} 步最先读到其中之一；此前各步的损失与原来的训练逐位相同。"),
    # Tests
    "what is tested": "检验内容",
    "result": "结果",
    "passed": "通过",
    "failed": "未通过",
    "not tested": "未检验",
    "No step of the new run reads a token of them": "新的训练没有任何一步读到这些文本的词元",
    "Attacks cannot tell the unlearned model from the retrained one by the texts": (
        "攻击者无法凭这些文本区分遗忘后的模型与重新训练的模型"
    ),
    "The texts are learned again no faster than by a model that never read them": (
        "重新学习这些文本，不比从没读过它们的模型更快"
    ),
    "Questions about the texts are answered no better than by a model that never read them": (
        "回答有关这些文本的问题，不比从没读过它们的模型更好"
    ),
    "Numbers in the texts are no likelier than other numbers": "文本中的数字不比其他数字更可能",
    # Tables
    "unlearned": "遗忘后的模型",
    "loss": "损失",
    "retrained": "重新训练的模型",
    "unseen": "没读过的文本",
    "forgotten": "遗忘的文本",
    "{texts}, {model} model": "{texts}（{model}）",
    "SHA-256 of the text": "文本的 SHA-256",
    "share of the text": "占文本的比例",
    "estimate if unread": "没读过时的估计值",
    "Other training documents that share text with a forgotten one; they were not forgotten:": (
        "与遗忘的文档有相同文字的其他训练文档（这些文档没有被遗忘）："
    ),
    "told from": "对照",
    "texts": "文本",
    "area under the ROC curve": "ROC 曲线下面积",
    "at chance": "与猜测无异",
    "yes": "是",
    "no": "否",
    "loss, less that of the original model": "损失减去原模型的损失",
    "Difference of the mean loss, unlearned less retrained; below 0, the unlearned model knows more:": (
        "平均损失之差：遗忘后的模型减去重新训练的模型。低于 0，说明遗忘后的模型知道得更多："
    ),
    ("Difference of the change of the loss from that of unread texts; below 0, the texts are learned faster:"): (
        "损失变化与没读过的文本之差。低于 0，说明这些文本学得更快："
    ),
    "difference (95% interval)": "差值（95% 区间）",
    "questions": "问题数",
    "exposure in bits": "暴露度（比特）",
    "exposure by chance": "凭猜测的暴露度",
    "perplexity, {model} model": "困惑度（{model}）",
    "change of the loss by forgetting, nats per token": "遗忘带来的损失变化，nat/词元",
    "on unread texts": "在没读过的文本上",
    # What is not proved
    (
        "The weights are those of the original model, changed by {steps} steps. No test can show that "
        "nothing is left in them: only training without the texts does that."
    ): ("权重来自原模型，只改动了 {steps} 步。没有哪项检验能证明其中什么也没留下：只有去掉这些文本重新训练才能做到。"),
    "What the model says was kept on {source}; elsewhere it may have changed more.": (
        "方法只在以下文本上维持模型原来的输出：{source}；在别处可能变化更大。"
    ),
    (
        "There is no retrained model to compare with, so the tests only compare with unread texts, which may "
        "be easier or harder."
    ): ("没有重新训练的模型可供对照，检验只能与没读过的文本比较，而那些文本可能更容易或更难。"),
    ("A text that is in no training document may be known from others: what the model learned it from stays."): (
        "不在任何训练文档中的文本，模型可能是从别的文档得知的：那些来源仍在模型里。"
    ),
    ("{count} other training documents share text with a forgotten one, and the model still knows them: {numbers}."): (
        "另有 {count} 篇训练文档与遗忘的文档有相同文字，模型仍然知道它们：{numbers}。"
    ),
    ("{count} texts are few: the intervals are wide, and an attack could be somewhat better than they show."): (
        "只有 {count} 段文本，太少：区间很宽，攻击的实际效果可能比显示的更好。"
    ),
    ("No questions in other words or over several steps were asked: give some with --probes (docs/unlearning.md)."): (
        "没有换一种说法或多步推理的提问：可用 --probes 提供（docs/unlearning.md）。"
    ),
    (
        "The tokenizer, and every setting that was chosen with the texts in the data, are kept; so is the "
        "space of each document, where end tokens stand."
    ): ("分词器以及选定时数据中还有这些文本的所有设置都保持不变；每篇文档原来的位置也还在，由结束词元填充。"),
    (
        "The losses of both runs differ from step {step} on, before a forgotten text was read: another version or kind of "
        "device computed the original run."
    ): "从第 {step} 步起，还没读到遗忘的文本，两次训练的损失就已不同：原来的训练是用另一版本或另一种设备计算的。",
    "The tests read the first {tokens} tokens of each text, and at most {texts} texts.": (
        "检验只读每段文本开头的 {tokens} 个词元，最多 {texts} 段文本。"
    ),
    "The run had canaries, which begin with passages of training documents, maybe of forgotten ones.": (
        "这次训练中有金丝雀文本，它们以训练文档的片段开头，其中可能有遗忘的文档。"
    ),
    "The tokenizer and the settings are kept.": "分词器与各项设置保持不变。",
    (
        "The original model, its checkpoints and copies, models made from it and the dataset folder still "
        "have the texts: delete them. Whoever has both models can find out what was forgotten."
    ): (
        "原模型、它的检查点和副本、由它得到的模型以及数据集文件夹里仍有这些文本：请删除它们。同时拿到两个模型"
        "的人能找出遗忘了什么。"
    ),
}
