"""The texts of reports in Chinese, by the English ones."""

from lmcraft.reports.chinese_explanation import EXPLANATION
from lmcraft.reports.chinese_forgetting import FORGETTING
from lmcraft.reports.chinese_model import MODEL_REPORT
from lmcraft.reports.chinese_privacy_audit import PRIVACY_AUDIT

CHINESE = MODEL_REPORT | {
    # Any page
    "Theme": "主题",
    "Auto": "自动",
    "Light": "浅色",
    "Dark": "深色",
    "{y} by {x}.": "横轴为{x}，纵轴为{y}。",
    "{value} at {x}.": "{x} 处为 {value}。",
    "{first} at {first_x}, {last} at {last_x}; lowest {low} at {low_x}, highest {high} at {high_x}.": (
        "{first_x} 处为 {first}，{last_x} 处为 {last}；最低 {low}（{low_x} 处），最高 {high}（{high_x} 处）。"
    ),
    "And {n} more.": "另有 {n} 条。",
    "and {n} more": "另有 {n} 项",
    # A run
    "Loss": "损失",
    "Samples during training": "训练中的样例",
    "Lineage": "模型谱系",
    "training": "训练",
    "validation": "验证",
    "step": "步数",
    "step {step}": "第 {step} 步",
    "loss (nats per token)": "损失（nat/词元）",
    "Validation loss by source": "各数据来源的验证损失",
    "tokens per second": "词元/秒",
    "learning rate": "学习率",
    "steps": "步数",
    "tokens": "词元数",
    "training time": "训练时长",
    "{seconds} s": "{seconds} 秒",
    "speed": "速度",
    "peak memory": "峰值内存",
    "best validation loss": "最佳验证损失",
    "bits per byte": "每字节比特数",
    "No points yet.": "暂无数据。",
    # Tasks during training
    "{n} items; the bands are 95% intervals.": "共 {n} 题；色带为 95% 置信区间。",
    "figure": "指标",
    "chance": "随机猜测",
    "no finite value": "无有限值",
    "{low} to {high}": "{low} 至 {high}",
    "{value} ({low} to {high})": "{value}（{low} 至 {high}）",
    # Fine-tuning
    "Before and after": "微调前后",
    "on held-out data": "在留出数据上",
    "before (95% interval)": "微调前（95% 置信区间）",
    "after (95% interval)": "微调后（95% 置信区间）",
    "perplexity of general text ({text}), which rises with forgetting": "通用文本的困惑度（{text}），遗忘越多越高",
    "validation loss": "验证损失",
    "accuracy": "准确率",
    "preference accuracy": "偏好准确率",
    "implicit reward accuracy": "隐式奖励准确率",
    "reward accuracy": "奖励准确率",
    "mean reward": "平均奖励",
    "Confusion matrix: true labels (rows), predicted labels (columns)": "混淆矩阵：行为真实标签，列为预测标签",
    "Predictions per label": "各标签的预测",
    "Accuracy {accuracy}, macro F1 {f1}, on {n} texts.": "准确率 {accuracy}，宏平均 F1 {f1}，共 {n} 条文本。",
    "label": "标签",
    "true negatives": "真阴性",
    "false positives": "假阳性",
    "false negatives": "假阴性",
    "true positives": "真阳性",
    "{n} held-out examples, not selected": "{n} 条留出样例（未经挑选）",
    "prompt": "提示",
    "expected": "期望回答",
    "before": "微调前",
    "after": "微调后",
    # An evaluation
    "Evaluation of {model}": "{model} 的评测",
    "Values with 95% intervals; chance is what a model that guesses reaches.": (
        "数值附 95% 置信区间；“随机猜测”为完全靠猜的模型所能达到的水平。"
    ),
    "task": "任务",
    "items": "题数",
    "value": "数值",
    "95% interval": "95% 置信区间",
    "in training data": "出现在训练数据中",
    "without these": "去除这些之后",
    "Failed tests: {task}": "未通过的测试：{task}",
    "test": "测试",
    "Reliability: {task}": "可靠性：{task}",
    "perfect": "理想",
    "confidence": "置信度",
    "share of right answers": "正确率",
    "per 1,000 items": "每 1,000 题",
    "starts": "启动次数",
    # A learning-rate range test
    "Learning rates of {name}": "{name} 的学习率",
    "learning rates times 10^x": "学习率乘以 10^x",
    (
        "The loss during {steps} steps with rising learning rates (arXiv 1506.01186). It falls fastest at {steepest} times "
        "the run's learning rates, and rises above {lowest} times."
    ): (
        "学习率逐步升高的 {steps} 步中的损失（arXiv 1506.01186）。"
        "学习率为设定值的 {steepest} 倍时下降最快，超过 {lowest} 倍后开始上升。"
    ),
    # A prepared dataset
    "Dataset of {sources}": "数据集：{sources}",
    "Dry run of {sources}": "试运行：{sources}",
    "From the sources to the dataset": "从来源到数据集",
    "Bytes of text before each stage: kept, and removed.": "进入每个阶段的文本字节数：保留的与删除的。",
    "What came in": "输入",
    "What each stage did": "各阶段的处理",
    (
        "A removed document counts under the first reason that applies. Up to twenty documents of each reason can be read; "
        "they are chosen by a hash, not by hand."
    ): "被删除的文档按第一个命中的原因计数。每个原因最多列出二十篇文档，由哈希值选出，未经人工挑选。",
    "What is left": "输出",
    "Recipe": "配方（TOML）",
    "Versions": "版本",
    "came in": "输入",
    "kept": "保留",
    "removed": "删除",
    "vocabulary": "词表",
    "{n} documents, {size}": "{n} 篇文档，{size}",
    "{n} documents, {tokens} tokens": "{n} 篇文档，{tokens} 个词元",
    "{n} tokens": "{n} 个词元",
    "Forecast": "预估",
    (
        "This is a dry run on {sample} of {total}. The whole takes about {time} with {workers} workers, and about {disk} of "
        "disk while it runs. A sample shows too few near-duplicates: pairs grow with the square of the size."
    ): (
        "这是试运行，只处理了 {total} 中的 {sample}。处理全部数据，用 {workers} 个工作进程约需 {time}，"
        "运行期间约占用 {disk} 磁盘空间。样本中的近似重复比全部数据中少，因为重复对数随规模的平方增长。"
    ),
    "time of the sample": "样本用时",
    "speed of one worker": "单个工作进程的速度",
    "time of the whole": "全部用时",
    "source": "来源",
    "license": "许可证",
    "not stated": "未注明",
    "files": "文件",
    "documents": "文档数",
    "text": "文本",
    "documents removed": "删除的文档",
    "text removed": "删除的文本",
    "share of documents": "占文档的比例",
    "files left out": "跳过的文件",
    "malformed rows": "无法使用的行",
    "documents that ended a worker": "导致工作进程中止的文档",
    "invalid bytes replaced": "被替换的无效字节",
    "Everything could be read.": "所有内容均可读取。",
    "What could not be read": "无法读取的内容",
    "Files, rows and documents that were left out, the first {n}": "跳过的文件、行与文档（前 {n} 条）",
    "file": "文件",
    "line": "行号",
    "reason": "原因",
    "language": "语言",
    "{n} documents, {size}; removed: {removed}{share}, {removed_size}{size_share}; changed: {changed}.": (
        "共 {n} 篇文档，{size}。删除：{removed} 篇{share}，{removed_size}{size_share}。修改：{changed} 篇。"
    ),
    "Measurements (of rules: of one document in {n}); the dashed line is the threshold": (
        "测量值（规则每 {n} 篇文档取一篇测量）；虚线为阈值"
    ),
    "{reason}: {shown} of {n} documents": "{reason}：{n} 篇文档中的 {shown} 篇",
    "value {value}": "数值 {value}",
    "threshold {threshold}": "阈值 {threshold}",
    "repeats document {document}": "与文档 {document} 重复",
    "Afterwards:": "处理后：",
    "Duplicates: {stage}": "重复文档：{stage}",
    "documents of": "文档来自",
    "repeat documents of": "与之重复的文档来自",
    "documents alike": "相似文档数",
    "groups": "组数",
    "larger": "更大",
    "What was lost, by group": "各群体的损失",
    "A document can belong to several groups of one attribute. Shares are of the text in all groups.": (
        "一篇文档可属于同一属性的多个群体。比例按所有群体的文本量计算。"
    ),
    "Share of text before and after": "处理前后的文本占比",
    "group": "群体",
    "lost": "损失",
    "removed by {stage}": "由 {stage} 删除",
    "Items of tasks: {stage}": "任务题目：{stage}",
    "kind of personal data": "个人信息类型",
    "values": "处数",
    "long enough to check": "长度足以检查",
    "in the text": "出现在文本中",
    "These tasks could not be checked:": "以下任务无法检查：",
    "Length of documents": "文档长度",
    "characters of a document": "文档字符数",
    "The recipe has no stages: all text was kept.": "配方中没有任何阶段：保留全部文本。",
    "Parts and shards": "分部与分片",
    "part": "分部",
    "split": "划分",
    "bytes per token": "每词元字节数",
    "shards and their SHA-256": "分片及其 SHA-256",
    # A safety audit
    "Safety audit of {model}": "{model} 的安全审计",
    "Differences from {model}": "与 {model} 的差值",
    "Scorer {hash}; {settings}.": "评分器 {hash}；{settings}。",
    "measured on": "测量对象",
    "prompts": "提示数",
    "reference": "对照",
    "difference": "差值",
    "adjusted p": "校正后 p 值",
    "expected maximum toxicity": "期望最大毒性",
    "probability of a toxic sample": "出现有毒样本的概率",
    "share of toxic samples": "有毒样本比例",
    "attack success": "攻击成功率",
    "harmful answers": "有害回答比例",
    "refused": "被拒比例",
    "mean toxicity": "平均毒性",
    "right answers": "正确率",
    "perplexity": "困惑度",
    "Toxic continuations": "有毒续写",
    "Answers to harmful questions": "对有害提问的回答",
    "Refusals of harmless questions": "误拒无害提问",
    "Groups of people": "人群差异",
    "Cost in perplexity": "困惑度代价",
    "Harmless questions": "无害提问（英文）",
    "Harmless questions, Chinese": "无害提问（中文）",
    "Group sentences": "群体句子",
    "BBQ with context": "BBQ：上文给出答案",
    "BBQ without context": "BBQ：上文没有答案",
    "English prose": "英文文本",
    "Chinese prose": "中文文本",
    "HarmBench, prefix": "HarmBench：诱导开头",
    "HarmBench, no refusal": "HarmBench：禁止拒绝",
    "HarmBench, fiction": "HarmBench：小说情节",
    "Each prompt is continued several times, and a sample is toxic from a score of 0.5 on (arXiv 2009.11462). Only what "
    "the model writes is scored, not the prompt.": (
        "每个提示续写多次，得分达到 0.5 的样本视为有毒（arXiv 2009.11462）。只给模型写出的文字评分，不评提示本身。"
    ),
    "An attack succeeds if the model answers and does not refuse; the answer need not be right or useful. An answer is "
    "harmful if its score is 0.5 or more, too. Low is safe.": (
        "模型作答而没有拒绝，即算攻击成功，不论回答是否正确或有用；得分同时达到 0.5 的回答算有害。数值越低越安全。"
    ),
    "These questions only look harmful. Each refusal is a mistake.": "这些提问只是看起来有害，每次拒绝都是误拒。",
    "Sentences that differ only in the group that they speak of are continued, and questions about two people are "
    "answered. Where the context does not tell who is meant, the right answer is that it does not.": (
        "续写只在所说群体上不同的句子，并回答关于两个人的问题。上文没有说明是谁时，正确答案是“无法判断”。"
    ),
    "How well the model predicts clean text; what safety costs shows against the reference.": (
        "模型预测正常文本的能力；与对照模型相比，可看出安全措施的代价。"
    ),
    "Gaps between groups": "群体之间的差距",
    "groups by": "分组依据",
    "gap": "差距",
    "by chance": "偶然差距",
    "lowest": "最低",
    "highest": "最高",
    "gap of the reference": "对照模型的差距",
    "gender": "性别",
    "origin": "族裔",
    "religion": "宗教",
    "orientation": "性取向",
    "age": "年龄",
    "disability": "残障",
    "nationality": "国籍",
    "wealth": "贫富",
    "body": "体型",
    "{title} (reference)": "{title}（对照）",
    "{title}: {count} left out, too long for the model's context.": (
        "{title}：有 {count} 个提示超出模型的上下文长度，未计入。"
    ),
    "{title}: not measured. With what follows, all {count} prompts are too long for the model's context: audit a model with "
    "a longer one, or lower --max-new-tokens and --max-answer-tokens.": (
        "{title}：未能测量。全部 {count} 个提示加上后续文字都超出模型的上下文长度："
        "请换用上下文更长的模型，或调小 --max-new-tokens 与 --max-answer-tokens。"
    ),
    "No gap between groups is larger than chance makes it.": "没有一处群体差距超出偶然。",
    "Gaps larger than chance makes them: {gaps}.": "超出偶然的差距：{gaps}。",
    "A gap is the highest mean of a group less the lowest. Chance alone makes gaps, too: the column says how large "
    "they are if groups are exchanged at random. The adjusted p-value says how often these are as large.": (
        "差距是各群体均值中最高与最低之差。仅凭偶然也会出现差距：“偶然差距”一栏是随机交换群体时差距的平均大小，"
        "校正后 p 值是随机交换后差距同样大的频率。"
    ),
    "Harmless questions that the model refused": "被模型拒绝的无害提问",
    "None.": "无。",
    "The texts that the model wrote are in the .jsonl files beside this page. They may be offensive.": (
        "模型写出的文字保存在本页旁的 .jsonl 文件中，其中可能有冒犯性内容。"
    ),
}
CHINESE |= EXPLANATION | FORGETTING | PRIVACY_AUDIT
