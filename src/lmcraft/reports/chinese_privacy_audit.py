"""The texts of the page of `lmcraft audit privacy` in Chinese, by the English ones."""

PRIVACY_AUDIT = {
    "Privacy audit of {model}": "{model} 的隐私审计",
    # The verdict
    "Claimed: epsilon {epsilon}.": "声明：ε = {epsilon}。",
    "Audited: epsilon at least {epsilon} ({threat_model}: {method}).": (
        "审计：ε 至少为 {epsilon}（{threat_model}：{method}）。"
    ),
    "The model has no guarantee of differential privacy, so there is no claim to contradict.": (
        "该模型没有差分隐私保证，因此没有可供检验的声明。"
    ),
    "Nothing contradicts the claim.": "没有发现与声明矛盾之处。",
    "The audit contradicts the claim.": "审计结果与声明矛盾。",
    # Bounds
    "Lower bounds on epsilon": "ε 的下界",
    (
        "Final weights: the attacker has what the folder has. Every step: the attacker sees the noisy gradient of every "
        "step and knows everything but whether one unit is in the data, which is what the guarantee is about. A lower bound "
        "that is far below the claim shows that the attack is weak, not that the claim is wrong."
    ): (
        "“最终权重”：攻击者只有模型文件夹里的内容。“每一步”：攻击者看得到每一步加噪后的梯度，除了某个单元是否在数据中以外"
        "什么都知道；差分隐私保证针对的正是这种攻击者。下界远低于声明值，只说明攻击不够强，不说明声明有误。"
    ),
    "Each bound holds with {confidence} confidence.": "每个下界的置信度为 {confidence}。",
    "the attacker sees": "攻击者所见",
    "method": "方法",
    "epsilon at least": "ε 至少为",
    "from": "依据",
    "epsilon {epsilon} at delta {delta}": "δ = {delta} 时 ε = {epsilon}",
    "final weights": "最终权重",
    "every step": "每一步",
    "one run": "单次训练",
    "one run, Gaussian": "单次训练，高斯机制",
    "measured step, composed": "单步实测，逐步合成",
    "{right} of {guesses} coins guessed right, {canaries} canaries": (
        "{guesses} 枚硬币猜对 {right} 枚，共 {canaries} 个金丝雀样本"
    ),
    "{right} of {guesses} coins guessed right, {canaries} canaries, {steps} steps": (
        "{guesses} 枚硬币猜对 {right} 枚，共 {canaries} 个金丝雀样本，{steps} 步"
    ),
    "noise at most {noise} of the longest gradient, sampling rate at least {rate}, {steps} steps": (
        "噪声至多为最长梯度的 {noise} 倍，采样率至少为 {rate}，共 {steps} 步"
    ),
    # The private step
    "The private step": "差分隐私训练步骤",
    (
        "The trainer's own step was run with the audited weights: with and without planted units, with and without noise, "
        "and many times."
    ): "用被审计的权重反复运行训练程序自身的步骤：植入或不植入单元，加噪或不加噪。",
    "part of the step": "步骤的组成部分",
    "measured": "实测值",
    "as claimed": "相符",
    "WRONG": "不符",
    "longest gradient of a unit": "单元梯度的最大范数",
    "noise": "噪声",
    "noise of each weight": "各权重的噪声",
    "noise of steps and weights": "各步、各权重之间的噪声",
    "sampling rate": "采样率",
    "sampling rate of each unit": "各单元的采样率",
    "draws of units and steps": "各单元、各步之间的抽样",
    "rows of a step": "每步的行数",
    "accounting": "隐私核算",
    "1 of the limit": "上限的 1 倍",
    "{noise} of the limit": "上限的 {noise} 倍",
    "{norm} of the limit; {clipped} of {count} gradients were longer": (
        "上限的 {norm} 倍；{count} 个梯度中有 {clipped} 个裁剪前超过上限"
    ),
    "at most {noise} in {weight}": "{weight} 中至多 {noise}",
    "at least {rate} for the most frequent unit": "出现最多的单元至少为 {rate}",
    "independent": "相互独立",
    "not independent": "不独立",
    "one per drawn unit": "每个抽中的单元一行",
    "more": "更多",
    "epsilon {epsilon} after {steps} steps": "{steps} 步后 ε = {epsilon}",
    "epsilon {epsilon} spent": "消耗 ε = {epsilon}",
    "epsilon": "ε（隐私损失）",
    # Attacks
    "Membership inference": "成员推断",
    "Extraction": "训练数据提取",
    "Exposure of canaries": "金丝雀样本的暴露度",
    "Canaries in or out": "金丝雀样本是否在数据中",
    (
        "Can somebody who has the weights and a document tell whether training read it? An area of 0.5 is guessing. The "
        "rate of true positives at 1% false positives is what a cautious attacker gets."
    ): (
        "拿到权重和一篇文档的人，能否判断训练时读没读过它？曲线下面积为 0.5 即纯属猜测。假阳性率为 1% 时的真阳性率，"
        "是谨慎的攻击者所能做到的。"
    ),
    (
        "Share of documents of which the model continues a part verbatim after the tokens before it. Other documents, which "
        "the model has not read, show how much of that is text that anybody can guess."
    ): (
        "给出前文后，模型能逐字续写出其中一段的文档所占比例。模型没读过的其他文档作为对照，"
        "说明其中有多少是谁都猜得到的内容。"
    ),
    (
        "How far the secret of a canary stands out from tokens that are as rare and that the model has not read, in bits. "
        "The more often a model reads a text, the better it remembers it."
    ): "金丝雀样本的秘密词元与同样罕见而模型没读过的词元相比有多突出，单位为比特。文本被读的次数越多，模型记得越牢。",
    "Can somebody who has the weights tell the canaries in the data from those left out?": (
        "拿到权重的人，能否分辨哪些金丝雀样本在数据中，哪些不在？"
    ),
    "count": "数量",
    "true positives at 1% false positives": "假阳性率 1% 时的真阳性率",
    "extracted by greedy decoding": "贪心解码可提取的比例",
    "extracted by the best of 100 samples": "100 次采样中最好一次可提取的比例",
    "loss / compressed size": "损失 / 压缩后大小",
    "Min-K%": "Min-K%（最低概率词元）",
    "Min-K%++": "Min-K%++（最低概率词元，标准化）",
    "training documents, {tokens} tokens": "训练文档，{tokens} 个词元",
    "other documents, {tokens} tokens": "其他文档，{tokens} 个词元",
    "secrets": "秘密词元",
    "LiRA, {count} shadow models": "LiRA，{count} 个影子模型",
    "not in the data": "不在数据中",
    "in the data": "在数据中",
    "not read": "没读过",
    "read once": "读过 1 次",
    "read {first} to {last} times": "读过 {first} 至 {last} 次",
    # Limits
    "What this audit does not show": "这次审计说明不了什么",
    "Attacks only show what a model gives away at least. A better attack may get more.": (
        "攻击只能说明模型至少泄露了多少；更强的攻击可能得到更多。"
    ),
    "The guarantee is about one unit. A person whose texts are in many units has less protection.": (
        "保证是针对单个单元的。一个人的文本若分布在许多单元中，得到的保护就较弱。"
    ),
    "Only the training is audited: neither the tokenizer nor the choice of settings by looking at the data.": (
        "审计只涉及训练过程，不包括分词器，也不包括看着数据选定的设置。"
    ),
    (
        "The held-out documents are the end of the text, so attacks may tell texts apart rather than what was read: for a "
        "fair comparison prepare with --split hash, or train with --without."
    ): (
        "留出的文档取自文本末尾，攻击区分的可能是文本本身的差异，而不是读没读过。要公平比较，请用 --split hash 准备数据，"
        "或用 --without 训练。"
    ),
    (
        "The run has no canaries, so exposure was not measured, and nothing bounds epsilon from the final weights: train "
        "with --canaries, or audit with --retrain."
    ): (
        "这次训练没有金丝雀样本，因此没有测量暴露度，也无法从最终权重得出 ε 的下界：请用 --canaries 训练，"
        "或用 --retrain 审计。"
    ),
    (
        "Some canaries were read several times an epoch, so the bounds from final weights are those of documents that are "
        "repeated as often."
    ): "部分金丝雀样本每轮读多次，因此由最终权重得出的下界适用于同样重复的文档。",
    "Only {count} other documents were there to compare with, so the intervals are wide: hold out more text.": (
        "只有 {count} 篇其他文档可供对照，因此置信区间较宽：请留出更多文本。"
    ),
    "Membership inference and extraction were not measured, since the model does not write text.": (
        "没有测量成员推断和训练数据提取，因为该模型不生成文本。"
    ),
    "Extraction was not measured, since no document has {tokens} tokens.": (
        "没有测量训练数据提取，因为没有文档达到 {tokens} 个词元。"
    ),
}
