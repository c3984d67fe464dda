"""The texts of reports in Chinese, by the English ones."""

CHINESE = {
    # A run
    "Loss": "损失",
    "Samples during training": "训练中的样例",
    "Speed and learning rate": "速度与学习率",
    "Settings (run.toml)": "设置（run.toml）",
    "Lineage": "来源",
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
    "training time": "训练时间",
    "{seconds} s": "{seconds} 秒",
    "speed": "速度",
    "{rate} tokens/s": "{rate} 词元/秒",
    "peak memory": "内存峰值",
    "share of peak speed": "占峰值速度的比例",
    "best validation loss": "最低验证损失",
    "{loss} nats per token, at step {step}": "{loss} nat/词元（第 {step} 步）",
    "bits per byte": "每字节比特数",
    "No points yet.": "暂无数据。",
    # Tasks during training
    "Tasks": "任务",
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
    "Reliability: {task}": "可靠性：{task}",
    "perfect": "理想",
    "confidence": "置信度",
    "share of right answers": "正确率",
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
}
