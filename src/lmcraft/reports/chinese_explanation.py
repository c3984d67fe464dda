"""The texts of an explanation's page in Chinese, by the English ones."""

EXPLANATION = {
    # The page
    "Explanation of a text": "一段文本的解释",
    "checks better than random": "优于随机的检验",
    "{passed} of {count} ({untestable} untestable)": "{passed}/{count}（另有 {untestable} 项无法检验）",
    "{passed} of {count}": "{count} 项中 {passed} 项",
    "Not shown": "未显示",
    "Surprise": "意外程度",
    "What the layers say": "各层读出的内容",
    "Which components decide": "哪些组件起作用",
    "Attention heads": "注意力头",
    "Activation patching": "激活修补",
    "Which tokens matter": "哪些词元重要",
    "Which documents taught this": "从哪些文档学到",
    "Through training": "训练过程",
    # The text
    (
        "The stronger a token's color, the less the model expected it. Surprise is −ln p in nats: 0.7 is one in two, 4.6 "
        "one in 100."
    ): "颜色越深，模型越没料到。意外程度为 −ln p，单位 nat：0.7 相当于二分之一，4.6 相当于百分之一。",
    "nats": "意外程度（nat）",
    "What comes next": "接下来会写什么",
    "The greatest surprises": "最意外的词元",
    "token": "词元",
    "probability": "概率",
    "the model expected": "模型预期",
    "Token {n}": "词元 {n}",
    "Previous token": "上一个词元",
    "Next token": "下一个词元",
    "Surprise {nats} nats (probability {p}). The model expected:": "意外程度 {nats} nat（概率 {p}）。模型预期：",
    "Nothing precedes the first token, so there is no surprise.": "第一个词元之前没有内容，因此没有意外程度。",
    # Lenses
    (
        "The residual stream after each layer, read as if it were the last one: the logit lens applies the unembedding "
        "as it is, the Jacobian lens first maps the layer to the last one by the model's mean Jacobian. The rank is that "
        "of the token that follows in the text, or, after the last token, of the one that the model would write."
    ): (
        "把每一层之后的残差流当作最后一层来读：对数几率透镜直接套用输出嵌入，雅可比透镜先用模型的平均雅可比矩阵把该层映"
        "射到最后一层。排名指文本中下一个词元的名次；在最后一个词元处，指模型将要写出的词元的名次。"
    ),
    "This model has no Jacobian lens yet: fit one with --fit-lens.": "该模型尚无雅可比透镜，可用 --fit-lens 拟合。",
    "Layer by layer": "逐层查看",
    "Rank of the following token, by layer and token": "下一个词元的排名（按层和词元）",
    "Logit lens": "对数几率透镜",
    "Jacobian lens": "雅可比透镜",
    "After token": "读取位置：词元",
    "layer": "层",
    "rank": "排名",
    "Strongest color: rank 1; each weaker one is about three times further down; no color: beyond 10,000.": (
        "颜色最深为第 1 名；每浅一级，名次约后退到三倍；无色为 10,000 名之外。"
    ),
    "The map begins at token {first}.": "图从词元 {first} 开始。",
    "This page has the lenses from token {first} on; lmcraft explain --json prints all.": (
        "本页只含词元 {first} 之后的透镜数据；lmcraft explain --json 可输出全部。"
    ),
    # Direct logit attribution
    "Read after token": "读取位置：词元",
    "The logit of “{target}” minus that of “{contrast}” is {total}.": (
        "“{target}”的 logit 减去“{contrast}”的 logit 为 {total}。"
    ),
    "The logit of “{target}” minus the mean of all logits is {total}.": (
        "“{target}”的 logit 减去全部 logit 的平均值为 {total}。"
    ),
    "component": "组件",
    "logit": "logit 值",
    "total": "总和",
    "the other {n} together": "其余 {n} 个合计",
    "embedding": "嵌入",
    "position embedding": "位置嵌入",
    "bias": "偏置",
    (
        "A row for each layer, a column for each head, and the feed-forward (FF) at the right. Green raises the logit, "
        "red lowers it."
    ): "每行一层，每列一个注意力头，最右列（FF）为前馈层。绿色提高 logit，红色降低。",
    # Heads
    (
        "Scores are mean attention weights on random tokens that are repeated: to the token after the last occurrence of "
        "the same one (induction), to the token before, and to the last occurrence itself (duplicate)."
    ): (
        "分数是在重复的随机词元上的平均注意力权重：指向同一词元上次出现之后的那个词元（归纳）、指向前一个词元、指向上次"
        "出现处本身（重复）。"
    ),
    "head": "注意力头",
    "induction": "归纳",
    "previous token": "前一词元",
    "duplicate token": "重复词元",
    "kind": "类型",
    "induction head": "归纳头",
    "previous-token head": "前一词元头",
    "duplicate-token head": "重复词元头",
    "Head {name}": "注意力头 {name}",
    "Token {n} attends to:": "词元 {n} 关注：",
    "Token {n} attends to no token with a weight that is in this page.": "词元 {n} 没有权重大到列入本页的关注对象。",
    "This page has the patterns of {count} heads, those with the highest scores; this is not one of them.": (
        "本页只含分数最高的 {count} 个注意力头的模式，不含此头。"
    ),
    (
        "Each row is a token that attends, each column one that it attends to; the stronger the color, the higher the "
        "weight. Weights below {least} are left out."
    ): "每行是一个发出关注的词元，每列是被关注的词元；颜色越深，权重越大。低于 {least} 的权重未画出。",
    "Why they attend": "为何关注",
    (
        "The score of a query and a key is a sum over pairs of what earlier components wrote there; these add most, "
        "compared with the average key."
    ): "查询与键的分数，等于此前各组件在两处写入内容的成对乘积之和；与平均键相比，下列各项贡献最大。",
    "from token": "从词元",
    "to token": "到词元",
    "weight": "权重",
    "query × key: share of the score": "查询 × 键：对分数的贡献",
    "of the key: share of the score": "键的组成部分：对分数的贡献",
    # Patching
    "The logit of “{answer}” minus that of “{other}” is {clean} on the text, and {corrupted} on this other prompt:": (
        "“{answer}”的 logit 减去“{other}”的 logit：在本文本上为 {clean}，在另一个提示上为 {corrupted}。另一个提示是："
    ),
    (
        "Each cell is one run of the other prompt in which one activation has its value from the text. 1 (green): the "
        "difference is restored in full; 0: nothing changed; below 0 (red): it grew."
    ): (
        "每格是另一个提示的一次运行，其中一处激活换成了它在本文本中的值。1（绿色）：差异完全恢复；0：没有变化；小于 0（"
        "红色）：差异变大。"
    ),
    "Residual stream before each block, at one token": "各块之前的残差流，每次修补一个词元",
    "Output of one head, at all tokens": "单个注意力头的输出，修补全部词元",
    "Rows are layers, columns tokens; the table below lists the strongest cells.": (
        "行为层，列为词元；下表列出数值最大的格子。"
    ),
    "Rows are layers, columns heads. The strongest: {heads}.": "行为层，列为注意力头。最强的是：{heads}。",
    "restored": "恢复程度",
    # Inputs
    (
        "The logit of “{target}” minus that of “{contrast}” goes from {before}, with every token replaced by a baseline, "
        "to {after} on the text. Green tokens raise it, red ones lower it."
    ): (
        "“{target}”的 logit 减去“{contrast}”的 logit：所有词元换成基线时为 {before}，在本文本上为 {after}。绿色词元提高"
        "它，红色词元降低它。"
    ),
    (
        "The logit of “{target}” minus the mean of all logits goes from {before}, with every token replaced by a "
        "baseline, to {after} on the text. Green tokens raise it, red ones lower it."
    ): (
        "“{target}”的 logit 减去全部 logit 的平均值：所有词元换成基线时为 {before}，在本文本上为 {after}。绿色词元提高"
        "它，红色词元降低它。"
    ),
    "Integrated gradients (arXiv 1703.01365) from embeddings of zero; the sum misses {gap} of the change.": (
        "积分梯度（arXiv 1703.01365），基线为零嵌入；各词元之和与总变化相差 {gap}。"
    ),
    "Integrated gradients (arXiv 1703.01365) from the mean embedding; the sum misses {gap} of the change.": (
        "积分梯度（arXiv 1703.01365），基线为平均嵌入；各词元之和与总变化相差 {gap}。"
    ),
    "share of the logit": "对 logit 的贡献",
    # Influence
    (
        "Of {count} training documents, those that changed the loss of the text most, at step {step}. Positive: training "
        "on the document lowered the loss."
    ): "在 {count} 篇训练文档中，以下文档对本文本的损失影响最大（第 {step} 步的权重）。正值：学习该文档降低了损失。",
    "replay: the exact derivative of the loss by the document's weight, through the whole run": (
        "重放：沿整个训练过程，求损失对文档权重的精确导数"
    ),
    "EK-FAC: an approximation by the curvature at the final weights": "EK-FAC：用最终权重处的曲率作近似",
    "cosine: how alike the gradients of document and text are": "余弦：文档梯度与文本梯度的相似程度",
    "replay": "重放",
    "cosine": "余弦",
    "Document {number}": "文档 {number}",
    "Metasmoothness of the run: {value}; 1 is best.": "该次训练的元平滑度：{value}（1 为最佳）。",
    (
        "The metasmoothness of the run is {value}, below {limit}: its weights jump about as documents are left out, so "
        "trust the checks rather than the scores of replay (docs/influence.md)."
    ): "元平滑度 {value} 低于 {limit}：去掉文档时权重会跳变，应以检验为准，而非重放的分数（见 docs/influence.md）。",
    (
        "Replay computes in float64 and ends within {distance} of the model's weights, as a share of the way that they "
        "went in training."
    ): "重放以 float64 计算，终点与模型权重之差约为训练中权重移动距离的 {distance}。",
    # Training
    "Induction forms by step {step}: the first checkpoint whose best induction score is above half of the highest.": (
        "归纳在第 {step} 步之前形成：这是最佳归纳分数首次超过最高值一半的检查点。"
    ),
    "No head of any checkpoint copies from earlier occurrences: induction has not formed.": (
        "没有任何检查点的注意力头会从先前的出现处复制：归纳尚未形成。"
    ),
    "Step": "步",
    "surprise at the text": "对本文本的意外程度",
    "gain on the repetition of random tokens": "随机词元重复时的收益",
    "highest score of a head": "注意力头的最高分",
    # Checks
    "Is it true?": "这些说法属实吗？",
    "Better than random.": "优于随机。",
    "No better than random.": "不优于随机。",
    "Too few others for a test.": "可比对象太少，无法检验。",
    "Nothing was ablated to check this view.": "此视图没有做消融检验。",
    "{subject} ablated: {measure} went from {before} to {after} ({change}).": (
        "消融{subject}：{measure}由 {before} 变为 {after}（{change}）。"
    ),
    "{subject} patched: {measure} went from {before} to {after} ({change}).": (
        "修补{subject}：{measure}由 {before} 变为 {after}（{change}）。"
    ),
    "{subject} swapped: {measure} went from {before} to {after} ({change}).": (
        "互换{subject}：{measure}由 {before} 变为 {after}（{change}）。"
    ),
    "{subject} left out of training: {measure} went from {before} to {after} ({change}).": (
        "训练时去掉{subject}：{measure}由 {before} 变为 {after}（{change}）。"
    ),
    "Random others (n = {n}) changed it by {mean} on average ({low} to {high}); p = {p}.": (
        "换成 {n} 个随机对照，平均变化 {mean}（{low} 至 {high}）；p = {p}。"
    ),
    "No random others were tried.": "没有随机对照。",
    # What is named and measured
    "what the {part} reads for {token}, with {other}, after layers {first} to {last}": (
        "第 {first} 至 {last} 层之后{part}读出的 {token} 与 {other}"
    ),
    "what the {part} reads for {token}, with {other}, after layer {layer}": (
        "第 {layer} 层之后{part}读出的 {token} 与 {other}"
    ),
    "logit lens": "对数几率透镜",
    "{part} in the keys of head {head}": "注意力头 {head} 的键中的{part}",
    "{part} of step {number}": "第 {number} 步的{part}",
    "induction head {head}": "归纳头 {head}",
    "induction heads {heads} and {count} more": "归纳头 {heads} 等（另有 {count} 个）",
    "induction heads {heads}": "归纳头 {heads}",
    "previous-token head {head}": "前一词元头 {head}",
    "previous-token heads {heads} and {count} more": "前一词元头 {heads} 等（另有 {count} 个）",
    "previous-token heads {heads}": "前一词元头 {heads}",
    "document {number} ({method})": "文档 {number}（{method}）",
    "document {number}": "文档 {number}",
    "head {head}": "注意力头 {head}",
    "feed-forward {layer}": "前馈层 {layer}",
    "token {number}": "词元 {number}",
    "layer {layer}": "第 {layer} 层",
    "all other pairs": "其余各对",
    "the average key": "平均键",
    "heads {first} and {last}": "注意力头 {first} 和 {last}",
    "feed-forwards {first} and {last}": "前馈层 {first} 和 {last}",
    "tokens {first} and {last}": "词元 {first} 和 {last}",
    "its weight from token {query} to token {key}": "其从词元 {query} 到词元 {key} 的权重",
    "gain from the repetition of random tokens, nats per token": "随机词元重复带来的收益（nat/词元）",
    "induction score, mean of the induction heads": "各归纳头的平均归纳分数",
    "induction score": "归纳分数",
    "previous-token score": "前一词元分数",
    "duplicate-token score": "重复词元分数",
    "loss of the text, nats per token": "本文本的损失（nat/词元）",
    "logit of {token} minus that of {other}": "{token} 减去 {other} 的 logit 差",
    "logit of {token} minus logit of {other}": "{token} 减去 {other} 的 logit 差值",
    "logit of {token} minus the mean logit": "{token} 的 logit 减去平均 logit 的差",
    "logit of {token}": "{token} 的 logit 值",
}
