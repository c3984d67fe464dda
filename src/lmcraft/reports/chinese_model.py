"""The texts of a model's report in Chinese, by the English ones, and the words of an architecture."""

import re

MODEL_REPORT = {
    # At the top
    "Contents": "目录",
    "language model": "语言模型",
    "classifier": "分类器",
    "reward model": "奖励模型",
    "adapter": "适配器",
    "pretrained": "预训练",
    "fine-tuned": "微调",
    "quantized to {bits} bits": "{bits} 位量化",
    "from {address}": "来自 {address}",
    "made from": "源模型",
    "parameters": "参数量",
    "nats per token": "nat/词元",
    "{bits} bits per byte": "每字节 {bits} 比特",
    "{n} steps": "{n} 步",
    "{n} starts": "共启动 {n} 次",
    "{share} of the peak": "峰值的 {share}",
    "{minutes} min": "{minutes} 分钟",
    "{hours} h": "{hours} 小时",
    "{days} days": "{days} 天",
    "{value} ({ends})": "{value}（{ends}）",
    "The run is still going on; this page shows it as it was when the page was written.": (
        "训练仍在进行，本页显示的是生成时的状态。"
    ),
    "The run is paused; --resume continues it.": "训练已暂停，可用 --resume 继续。",
    "The run was stopped before its end; --resume continues it.": "训练提前停止，可用 --resume 继续。",
    "The run was killed; --resume continues it from its last checkpoint.": "训练被中止，可用 --resume 从最近的检查点继续。",
    "The run failed; --resume continues it from its last checkpoint.": "训练出错中断，可用 --resume 从最近的检查点继续。",
    "The run has no steps yet, or its metrics.jsonl is missing.": "训练尚未完成任何一步，或缺少 metrics.jsonl。",
    "Some files could not be read:": "以下文件无法读取：",
    "lmcraft/evaluation.json is no result of a fine-tuning; it is left out.": (
        "lmcraft/evaluation.json 不是微调评测结果，未列出。"
    ),
    # Sections
    "Tasks during training": "训练中的任务成绩",
    "Evaluations": "评测",
    "Safety": "安全",
    "Quantization": "量化",
    "Energy and emissions": "能耗与碳排放",
    "Speed, memory and learning rate": "速度、内存与学习率",
    "Training data": "训练数据",
    "Architecture": "模型结构",
    "Settings": "设置",
    "Not measured": "未测量的内容",
    "From {files}": "数据来源：{files}",
    # Curves
    "The dot is the lowest validation loss; the weights of that step were kept.": (
        "圆点为最低验证损失，保存的是这一步的权重。"
    ),
    "Bands reach from the lowest to the highest value of neighboring steps.": "色带为相邻各步的最小值到最大值。",
    "peak memory (GiB)": "峰值内存（GiB）",
    "norm of the gradient": "梯度范数",
    # Evaluations, the audit, quantization
    "value (95% interval)": "数值（95% 置信区间）",
    "Results that other weights had are left out:": "以下结果属于其他权重，未列出：",
    "The weights have {bits} bits ({method}). Measured on {text}:": "权重为 {bits} 位（{method}）。测量文本：{text}。",
    "perplexity before": "量化前困惑度",
    "perplexity after": "量化后困惑度",
    "KL divergence, nats per token": "KL 散度（nat/词元）",
    "same most likely token": "首选词元相同的比例",
    "Scorer {hash}.": "评分器 {hash}。",
    "Only a sample of the prompts was asked.": "仅抽取了部分提示。",
    # Privacy
    "Privacy": "隐私",
    "document": "文档",
    "example": "样本",
    "Differential privacy per {unit}: ε = {epsilon}, δ = {delta}. Somebody who sees the weights and guesses whether a "
    "certain {unit} was in the training data, with both answers equally likely beforehand, is right in at most {share} "
    "of cases, whatever else they know.": (
        "差分隐私，以单个{unit}为单位：ε = {epsilon}，δ = {delta}。假设某一{unit}在与不在训练数据中事先同样可能，"
        "那么看到权重的人无论另外知道什么，猜对的概率至多为 {share}。"
    ),
    "It holds for one {unit} at a time: somebody who wrote several of them is protected less.": (
        "保证只针对单个{unit}：同一个人若有多个{unit}，受到的保护会减弱。"
    ),
    "It does not cover the validation data, which decide which step's weights are kept, and the tokenizer.": (
        "保证不涵盖分词器，也不涵盖验证数据（保留哪一步的权重由它决定）。"
    ),
    "It does not cover what the base model was trained on.": "保证不涵盖基础模型的训练数据。",
    "units in the training data": "训练数据中的单位数",
    "budget of epsilon": "ε 预算",
    "probability that a unit is in a step's batch": "每步抽中某一单位的概率",
    "noise multiplier": "噪声倍数",
    "largest norm of a unit's gradient": "单位梯度的范数上限",
    "steps with noise": "加噪步数",
    "part of delta that pays for batches of limited size": "δ 中用于批大小上限的部分",
    "accountant": "隐私核算方法",
    "Personal data taken out of the training data": "从训练数据中清除的个人信息",
    "Audit": "审计",
    "attack": "攻击",
    "claimed": "声明值",
    "proved by attacks": "攻击证实的下界",
    "The attacks prove that ε is at least {audited} (confidence {confidence}).": (
        "攻击证实 ε 不小于 {audited}（置信度 {confidence}）。"
    ),
    "What the attacker sees: {model}.": "攻击者可见：{model}。",
    "{claim} was claimed: the audit contradicts the guarantee.": "声明值为 {claim}：审计结果与保证矛盾。",
    "{claim} was claimed: the audit agrees with the guarantee.": "声明值为 {claim}：审计结果与保证相符。",
    # Energy
    "energy": "能耗",
    "emissions": "碳排放",
    "interval": "区间",
    "measured by": "测量方法",
    "grid": "电网",
    "world average": "全球平均",
    "per token": "每词元",
    "{joules} J": "{joules} 焦耳",
    "spent on steps that do not count": "浪费的比例",
    "wasted": "浪费",
    "repeated steps": "重复的训练步",
    "after the best checkpoint": "最佳检查点之后的训练",
    "forecast": "预估",
    "{energy}; measured: {ratio} of it": "{energy}；实测为预估的 {ratio}",
    "Electricity at the plug, with memory, board and power supply; cooling of the building is not in it.": (
        "插座处的用电量，含内存、主板与电源损耗，不含机房制冷。"
    ),
    "counter of the GPU (NVML)": "GPU 计数器（NVML）",
    "counters of the processor (RAPL)": "CPU 计数器（RAPL）",
    "processor time and a table of processors' power": "CPU 时间（按 CPU 功率表折算）",
    "number of operations and a table of energy per operation": "运算量（按单次运算能耗表折算）",
    "Over the run": "训练过程",
    "cumulative energy ({unit})": "累计能耗（{unit}）",
    "By part of the machine": "按部件",
    "energy ({unit})": "能耗（{unit}）",
    "GPU": "GPU（显卡）",
    "processor": "CPU（处理器）",
    "memory": "内存",
    "board, fans, power supply": "主板、风扇与电源",
    "all": "合计",
    "By start": "按启动次数",
    "started": "启动时间",
    "Evaluations and audits": "评测与审计",
    "work": "工作",
    "evaluation": "评测",
    "safety audit": "安全审计",
    "Wh per 1,000 queries": "每千次查询（Wh）",
    # Data and lineage
    "role": "用途",
    "name": "名称",
    "made by": "制作方式",
    "date": "日期",
    "pretrain": "预训练",
    "finetune": "微调",
    "quantize": "量化",
    "export": "导出",
    "pull": "下载",
    "edited": "事后修改",
    "model": "模型",
    "calibration text": "校准文本",
    "general text": "通用文本",
    "chat template": "对话模板",
    "reward": "奖励模型",
    "tokens held out": "留出的词元数",
    "SHA-256 of the manifest": "清单的 SHA-256",
    "share of the run": "占训练的比例",
    "epochs": "轮数",
    "stage of the preparation": "处理阶段",
    "this model": "本模型",
    "base": "基础模型",
    "teacher": "教师模型",
    "original": "原模型",
    "data": "数据",
    "dataset": "数据集",
    "training data": "训练数据",
    "validation data": "验证数据",
    "What {name} was made from: {origins}": "{name} 的来源：{origins}",
    "`lmcraft report --verify` compares these hashes with the files.": (
        "`lmcraft report --verify` 会将这些哈希值与文件逐一核对。"
    ),
    # Details
    "family": "系列",
    "layers": "层数",
    "attention": "注意力",
    "windows": "滑动窗口",
    "feed-forward": "前馈层",
    "norms": "归一化",
    "positions": "位置编码",
    "context": "上下文长度",
    "{shown} of {n} samples, evenly spaced; all are in": "共 {n} 条样例，等距选取其中 {shown} 条；全部样例见",
    "{n} settings, from": "共 {n} 项设置，来自",
    "{n} more are in the file.": "其余 {n} 项见该文件。",
    # What is missing
    "The license of the weights: nobody has stated one.": "权重的许可证：无人注明。",
    "What the model was made from: the folder has no lineage.": "模型谱系：文件夹中没有谱系记录。",
    "The training data: the folder does not record what the weights were trained on.": (
        "训练数据：文件夹没有记录权重由哪些数据训练而来。"
    ),
    "The licenses of the training data: not all sources state one.": "训练数据的许可证：部分来源未注明。",
    "The languages of the training data: the preparation did not tell them apart.": "训练数据的语言：数据处理时未加区分。",
    "Test items in the training data: the preparation did not look for them.": (
        "训练数据中是否含有测试题：数据处理时未检查。"
    ),
    "Quality on tasks: `lmcraft evaluate` has not measured these weights.": (
        "任务成绩：尚未用 `lmcraft evaluate` 评测这些权重。"
    ),
    "Whether the training data contain the items of the tasks: not checked for all of them.": (
        "训练数据是否含有任务的题目：未对所有任务检查。"
    ),
    "Whether the classifier's probabilities mean what they say: not measured.": "分类器给出的概率是否可信（校准）：未测量。",
    "Safety and fairness: lmcraft audits only models that write text.": "安全与公平：lmcraft 只审计生成文本的模型。",
    "Safety (toxicity, harmful answers, refusals, groups): `lmcraft audit safety` has not been run.": (
        "安全（毒性、有害回答、误拒、人群差异）：尚未运行 `lmcraft audit safety`。"
    ),
    "Safety: toxic continuations.": "安全：有毒续写。",
    "Safety: answers to harmful questions.": "安全：对有害提问的回答。",
    "Safety: refusals of harmless questions.": "安全：误拒无害提问。",
    "Safety: gaps between groups of people.": "安全：人群差异。",
    "Safety: what safety costs in perplexity.": "安全：安全措施的困惑度代价。",
    "What the model gives away about its training data: `lmcraft audit privacy` has not been run.": (
        "隐私（模型泄露多少训练数据）：尚未运行 `lmcraft audit privacy`。"
    ),
    "Energy and emissions of the training: not counted.": "训练的能耗与碳排放：未计量。",
    "Energy and emissions of the models that this one was made from: not in the figures.": (
        "源模型的能耗与碳排放：未计入以上数字。"
    ),
}

# Patterns in the description of an architecture (`describe_model`), and what stands in their place.
ARCHITECTURE = [
    (re.compile(r"(\d+) heads of (\d+)"), r"\1 头，每头 \2 维"),
    (re.compile(r", (\d+) of keys and values"), r"，键值 \1 头"),
    (re.compile(r", QK norm"), "，QK 归一化"),
    (re.compile(r"(\d+) of (\d+) layers attend to ([\d,]+) tokens"), r"\2 层中有 \1 层只关注 \3 个词元"),
    (re.compile(r"(\d+) of (\d+) experts of ([\d,]+)"), r"\2 个专家选 \1，每个宽 \3"),
    (re.compile(r" and a shared one of ([\d,]+)"), r"，另有一个宽 \1 的共享专家"),
    (re.compile(r", ([\d,]+) wide"), r"，宽 \1"),
    (re.compile(r", parallel$"), "，注意力与前馈并行"),
    (re.compile(r", before and after each sub-layer"), "，每个子层前后"),
    (re.compile(r", before each sub-layer"), "，每个子层之前"),
    (re.compile(r", after each sub-layer"), "，每个子层之后"),
    (re.compile(r"rotary, base (\S+?)(?=,|$)"), r"旋转位置编码，基数 \1"),
    (re.compile(r", scaled (\S+) times"), r"，放大 \1 倍"),
    (re.compile(r"^learned$"), "可学习"),
    (re.compile(r"([\d,]+) tokens"), r"\1 个词元"),
    (re.compile(r", tied$"), "，输入与输出共享"),
]
