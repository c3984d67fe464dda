// The text on the page, in English and Chinese.

import { escapeControls } from "./views/controls.js";

const LANGUAGES = ["en", "zh"];
const LANGUAGE_ITEM = "lmcraft-language"; // in the local storage

// key: [English, Chinese]
const STRINGS = {
  // Page
  skipToInput: ["Go to the message box", "跳到输入框"],
  close: ["Close", "关闭"],
  cancel: ["Cancel", "取消"],
  ok: ["OK", "确定"],
  save: ["Save", "保存"],
  help: ["Help", "帮助"],
  themeSystem: ["Theme: system", "主题：跟随系统"],
  themeLight: ["Theme: light", "主题：浅色"],
  themeDark: ["Theme: dark", "主题：深色"],
  otherLanguage: ["中文", "English"],
  introduction: ["Edit any message, branch anywhere, compare answers, and inspect every token.", "编辑任意消息，从任意位置创建分支，对比不同回答，查看每个词元。"],
  // Sidebar
  chats: ["Chats", "对话"],
  newChat: ["New chat", "新对话"],
  search: ["Search chats", "搜索对话"],
  showMore: ["Show more", "显示更多"],
  noChats: ["No chats", "暂无对话"],
  yourData: ["Your data", "你的数据"],
  keptForGood: ["This server keeps your chats until you delete them.", "此服务器会一直保存你的对话，直到你删除为止。"],
  keptFor: ["This server deletes a chat {time} after its last change.", "对话超过 {time}没有改动，此服务器就会将其删除。"],
  promptsNotLogged: ["It does not log what you ask.", "它不记录你的提问。"],
  promptsLoggedScrubbed: ["It logs what you ask, and takes out the personal data that it recognizes.", "它会记录你的提问，但先去除其中能识别出的个人信息。"],
  promptsLogged: ["It logs what you ask, as you write it.", "它会原样记录你的提问。"],
  dataHelp: ["This covers chats, ratings, stored responses, texts in reviews and logged questions. Backups that the operator has made stay.", "包括对话、评分、已保存的回复、审核中的文本和记录下来的提问。服务器管理者另做的备份不在其中。"],
  downloadData: ["Download all", "全部下载"],
  eraseData: ["Delete all", "全部删除"],
  confirmErasure: ["Delete all your chats and everything else that this server has stored for you, and the drafts and presets in this browser? This cannot be undone.", "确定删除你的全部对话、此服务器为你保存的其他一切数据，以及此浏览器中的草稿和预设吗？删除后无法恢复。"],
  memoryOnly: ["This server does not save chats. They are lost when you close this page.", "此服务器不保存对话，关闭页面后对话会丢失。"],
  pinned: ["Pinned", "置顶"],
  today: ["Today", "今天"],
  yesterday: ["Yesterday", "昨天"],
  lastWeek: ["Previous 7 days", "过去 7 天"],
  pin: ["Pin", "置顶"],
  rename: ["Rename", "重命名"],
  chatTitle: ["Chat title", "对话标题"],
  delete: ["Delete", "删除"],
  confirmDeletion: ["Delete “{title}”? This cannot be undone.", "确定删除“{title}”吗？删除后无法恢复。"],
  import: ["Import chats (of lmcraft, Open WebUI, ChatGPT or llama.cpp)", "导入对话（来自 lmcraft、Open WebUI、ChatGPT 或 llama.cpp）"],
  imported: ["Chats imported: {n}", "已导入 {n} 个对话"],
  notJson: ["{name} is not a valid JSON file.", "{name} 不是有效的 JSON 文件。"],
  export: ["Export all chats", "导出全部对话"],
  exportFormat: ["For which program? Only lmcraft’s own file keeps ratings, picks and settings.", "导出给哪个程序？只有 lmcraft 自己的格式保留评分、偏好和设置。"],
  // Models
  model: ["Model", "模型"],
  noModels: ["This server has no chat models.", "此服务器上没有可用的对话模型。"],
  adapterModel: ["{name} (adapter for {base})", "{name}（{base} 的适配器）"],
  completionModel: ["{name} (text completion)", "{name}（文本续写）"],
  // Feedback
  feedback: ["Feedback", "反馈"],
  goodCount: ["good", "好评"],
  badCount: ["bad", "差评"],
  picksCount: ["picks", "次选择"],
  editsCount: ["edits", "次修改"],
  allFeedback: ["All", "全部"],
  ratings: ["Ratings", "评分"],
  picks: ["Picks", "选择"],
  edits: ["Edits", "修改"],
  noFeedback: ["None yet. Rate answers, edit them, or pick the better of two.", "暂无反馈。可以给回答评分、修改回答，或在两个回答中选择更好的一个。"],
  pickedModels: ["Which model you picked", "你更常选择的模型"],
  tally: ["{winner} over {loser}: {n} of {count} picks, {share}", "{winner} 胜过 {loser}：{count} 次中选 {n} 次，占 {share}"],
  tallyInterval: ["(95% interval {low} to {high})", "（95% 置信区间 {low} 至 {high}）"],
  trainOnFeedback: ["Train on it", "用反馈训练模型"],
  undo: ["Undo", "撤销"],
  reasonGiven: ["Why: {reason}", "原因：{reason}"],
  pickedAnswer: ["Picked · {model}", "选中 · {model}"],
  otherAnswer: ["Not picked · {model}", "未选中 · {model}"],
  editedAnswer: ["As you wrote it", "你的版本"],
  originalAnswer: ["Before · {model}", "修改前 · {model}"],
  blind: ["Blind", "盲选"],
  blindHelp: ["Hides which model wrote which answer until you pick one", "选择之前隐藏两个回答各自的模型"],
  revealed: ["You picked {model} over {other}.", "你选择了 {model}，而不是 {other}。"],
  // Message box
  welcome: ["What’s on your mind?", "想聊点什么？"],
  welcomeCompletion: ["Begin a text, and the model continues it", "写个开头，让模型接着写"],
  introductionCompletion: [
    "This is a base model: it has learned to continue texts, not to answer questions.",
    "这是一个基座模型：它学会的是续写文本，而不是回答问题。",
  ],
  examples: ["Examples", "示例"],
  exampleExplain: ["Explain why the sky is blue to a ten-year-old.", "给十岁的孩子讲讲天空为什么是蓝色的。"],
  exampleWrite: ["Write a short, friendly email that moves a meeting to Friday.", "写一封简短友好的邮件，把会议改到周五。"],
  exampleTutor: ["Quiz me on fractions, one question at a time.", "出几道分数题考考我，一次一道。"],
  exampleCode: ["Write a Python function that counts the words in a file.", "用 Python 写一个统计文件词数的函数。"],
  beginStory: ["Once upon a time, in a village by the sea,", "从前，海边有一个小村庄，"],
  beginList: ["Three things to know before you visit Rome:\n1.", "第一次去北京要知道的三件事：\n1."],
  beginArticle: ["The history of the printing press begins", "造纸术的历史可以追溯到"],
  beginCode: ["def fibonacci(n):\n", "def fibonacci(n):\n"],
  message: ["Type a message", "输入消息"],
  messageCompletion: ["Type the beginning of a text", "输入文本的开头"],
  attach: ["Attach text files", "添加文本文件"],
  files: ["Attached files", "已添加的文件"],
  removeFile: ["Remove", "移除"],
  characterCount: ["{n} characters", "{n} 个字符"],
  fileExceedsContext: ["longer than the model’s context", "超出模型的上下文长度"],
  notText: ["{name} is not a text file. Attach text, Markdown, CSV, JSON, code or PDF.", "{name} 不是文本文件。可添加文本、Markdown、CSV、JSON、代码或 PDF 文件。"],
  emptyFile: ["{name} is empty.", "{name} 是空文件。"],
  fileTooLong: ["{name} has more than 900,000 characters, which is too long for a message.", "{name} 超过 90 万字符，无法放入一条消息。"],
  compare: ["Compare", "对比回答"],
  secondModel: ["Second model", "对比模型"],
  context: ["Context used", "已用上下文"],
  contextText: ["{used} of {context} tokens", "{used} / {context} 词元"],
  send: ["Send", "发送"],
  stop: ["Stop", "停止生成"],
  scrollToEnd: ["Scroll to the bottom", "回到底部"],
  disclaimer: ["Answers can be wrong. Check important information.", "内容由模型生成，可能有误，请注意核实。"],
  // Messages
  messages: ["Messages", "消息"],
  you: ["You", "你"],
  answer: ["Answer", "回答"],
  edited: ["edited", "已编辑"],
  waiting: ["Waiting for the first token", "正在等待首个词元"],
  thinking: ["Thinking… {seconds} s", "思考中… {seconds} 秒"],
  thoughtFor: ["Thought for {seconds} s", "思考了 {seconds} 秒"],
  thoughts: ["Thoughts", "思考过程"],
  answerComplete: ["Answer complete: {text}", "回答完成：{text}"],
  stats: ["{rate} tokens/s · first token in {first} s · {count}", "{rate} 词元/秒 · 首词元 {first} 秒 · {count}"],
  tokenCount: ["{n} tokens", "共 {n} 个词元"],
  tokensOfLimit: ["{n} of {limit} tokens", "{n} / {limit} 词元"],
  limit: ["Limit of this answer, in tokens", "本次回答的词元上限"],
  cutByLength: ["Stopped at the token limit.", "已达词元上限，回答被截断。"],
  stopped: ["Stopped.", "已停止。"],
  refused: ["Refused by the policy of this server.", "已被此服务器的安全策略拒绝。"],
  emptyAnswer: ["The model returned an empty answer.", "模型没有生成任何内容。"],
  notSaved: ["Could not save: {reason}", "保存失败：{reason}"],
  notSavedYet: ["Kept in this browser until the server is back.", "已保存在此浏览器中，服务器恢复后会自动同步。"],
  // Message buttons
  copy: ["Copy", "复制"],
  edit: ["Edit", "编辑"],
  regenerate: ["Regenerate", "重新生成"],
  continue: ["Continue", "继续生成"],
  good: ["Good answer", "回答得好"],
  bad: ["Bad answer", "回答得不好"],
  reason: ["Why? (optional)", "原因（选填）"],
  tokens: ["Tokens", "词元"],
  tokensTitle: ["See every token, how likely it was, and what else could have come", "查看每个词元、其概率以及备选词元"],
  prompt: ["Prompt", "提示词"],
  promptTitle: ["See the exact prompt that the model read", "查看模型实际读到的完整提示词"],
  hint: [
    "Tokens shows how likely each piece of this answer was; pick another one to branch from it. Prompt shows exactly what the model read.",
    "“词元”显示回答中每个片段的概率，选择其他词元即可创建分支；“提示词”显示模型实际读到的内容。",
  ],
  gotIt: ["Got it", "知道了"],
  previous: ["Previous version", "上一个版本"],
  next: ["Next version", "下一个版本"],
  version: ["Version {n} of {count}", "第 {n} 个版本，共 {count} 个"],
  retry: ["Retry", "重试"],
  compareVersions: ["Compare versions", "对比版本"],
  editMessage: ["Edit message", "编辑消息"],
  saveAndContinue: ["Save and continue", "保存并继续生成"],
  // Reports
  report: ["Report this answer", "举报此回答"],
  reportTitle: ["Report this answer", "举报此回答"],
  reportReason: ["What is wrong with it?", "请选择举报原因"],
  reportHarmful: ["It is harmful or offensive", "内容有害或令人反感"],
  reportWrong: ["It is wrong or misleading", "内容错误或有误导性"],
  reportPrivacy: ["It exposes personal data", "泄露个人隐私"],
  reportOther: ["Something else", "其他原因"],
  reportComment: ["Anything the reviewers should know? (optional)", "补充说明（选填）"],
  reportNote: [
    "The people who review this server’s answers will read this answer, all messages before it, and what you write here.",
    "提交后，此服务器的审核人员会看到这条回答、它之前的全部消息以及你填写的内容。",
  ],
  sendReport: ["Send report", "提交举报"],
  reported: ["Thank you. The answer will be reviewed.", "感谢反馈，我们会尽快审核这条回答。"],
  alreadyReported: ["You have reported this answer.", "你已举报此回答。"],
  notStoredForReport: ["This server does not save chats, so its answers cannot be reported.", "此服务器不保存对话，无法举报回答。"],
  // Two answers
  pair: ["Two answers side by side", "并排对比两个回答"],
  prefer: ["I prefer this answer", "这个回答更好"],
  preferReason: ["Why? (optional, before you choose)", "原因（选填，选择前填写）"],
  skipPreference: ["Skip", "跳过"],
  // Tokens
  tokensHelp: [
    "The stronger the color, the less likely the token. Click a token, or press Enter on it, to see the alternatives.",
    "颜色越深，词元的概率越低。点击词元或按回车键，可查看备选词元。",
  ],
  tokensList: ["Tokens: arrow keys to move, Enter for alternatives", "词元：方向键移动，回车键查看备选词元"],
  alternatives: ["Alternatives", "备选词元"],
  branchHere: ["Pick another token to branch from here.", "选择其他词元，即可从此处创建分支。"],
  chosen: ["chosen", "已选"],
  noAlternatives: ["No alternatives were saved.", "未保存备选词元。"],
  noTokenId: ["This token cannot be sent on its own, so you cannot branch from it.", "此词元无法单独发送，因此不能从此处创建分支。"],
  lens: ["What each layer predicts", "各层的预测"],
  openLens: ["Show what each layer predicts", "查看各层的预测"],
  readingLayers: ["Reading the layers…", "正在读取各层…"],
  layersRead: ["Layers read: {n}", "已读取 {n} 层"],
  logitLens: ["Logit lens", "对数几率透镜"],
  jacobianLens: ["Jacobian lens", "雅可比透镜"],
  lensCaption: ["The next tokens if each layer were the last.", "假如模型在某一层就输出，最可能的下一个词元。"],
  layer: ["Layer", "层"],
  likelyTokens: ["Most likely", "最可能的词元"],
  rankOf: ["Rank of {token}", "{token} 的排名"],
  allLayers: ["All {n} layers", "显示全部 {n} 层"],
  fewerLayers: ["Fewer layers", "显示部分层"],
  hiddenByPolicy: ["The policy of this server hides some tokens.", "服务器的内容策略隐藏了部分词元。"],
  otherWeights: [
    "The answer was written with weights rounded to {rounding}; the layers are read with those of the folder, so they can differ a little.",
    "回答由取整为 {rounding} 的权重生成，而各层的预测由模型文件夹中的原始权重算出，两者可能略有差异。",
  ],
  promptNote: ["{n} tokens, exactly as {model} reads them", "共 {n} 个词元，即模型 {model} 实际收到的输入"],
  promptText: ["Text", "文本"],
  promptTokens: ["Tokens and IDs", "词元与 ID"],
  copyIds: ["Copy IDs", "复制 ID"],
  copyText: ["Copy text", "复制文本"],
  copyCode: ["Copy code", "复制代码"],
  taskDone: ["Done", "已完成"],
  taskOpen: ["Not done", "未完成"],
  code: ["Code", "代码"],
  // Connection
  retryAfter: ["Try again in {seconds} s.", "请在 {seconds} 秒后重试。"],
  key: ["API key", "API 密钥"],
  keyHelp: ["This server requires an API key. It is kept until you close this tab.", "此服务器需要 API 密钥。关闭此标签页后，密钥会被清除。"],
  // Settings
  settings: ["Settings", "设置"],
  system: ["System prompt", "系统提示词"],
  systemMore: ["Instructions that the model reads before the chat.", "对话开始前提供给模型的指令。"],
  presets: ["Presets", "预设"],
  choosePreset: ["Choose a preset", "选择预设"],
  noPresets: ["None saved yet", "暂无预设"],
  savePreset: ["Save as a preset", "保存为预设"],
  removePreset: ["Delete this preset", "删除此预设"],
  presetName: ["Name of the preset: it keeps the system prompt and all settings", "预设名称：将保存系统提示词和全部设置"],
  chatDefaults: [
    "This model brings no sampling settings of its own. Unless you set others, it uses {values}.",
    "此模型未自带采样设置。如未另行设置，将使用{values}。",
  ],
  listSeparator: [", ", "、"],
  reset: ["Reset to the model’s defaults", "恢复模型默认值"],
  moreSettings: ["More settings", "更多设置"],
  random: ["random", "随机"],
  seed: ["Seed", "随机种子"],
  // Keyboard shortcuts
  shortcuts: ["Keyboard shortcuts", "键盘快捷键"],
  newLine: ["New line", "换行"],
  stopOrClose: ["Stop the answer, or close a panel", "停止生成或关闭面板"],
  editLast: ["Edit your last message (if the message box is empty)", "编辑上一条消息（输入框为空时）"],
};

/** Adds the strings of another page, which the chat page does not load. */
export function addStrings(strings) {
  Object.assign(STRINGS, strings);
}

let language = loadLanguage();

function loadLanguage() {
  const saved = localStorage.getItem(LANGUAGE_ITEM);
  if (LANGUAGES.includes(saved)) return saved;
  return navigator.language.toLowerCase().startsWith("zh") ? "zh" : "en";
}

/** The text of a key in the page's language, with the values in place of {name}. */
export function t(key, values = {}) {
  const text = STRINGS[key][LANGUAGES.indexOf(language)];
  return text.replace(/\{(\w+)\}/g, (_, name) => escapeControls(String(values[name])));
}

/** The text in the page's language from the server's {en, zh}, or the English one if there is no other. */
export function localize(texts) {
  return escapeControls(texts[language] || texts.en || "");
}

/** "en" or "zh". */
export const getLanguage = () => language;

export function toggleLanguage() {
  language = language === "en" ? "zh" : "en";
  localStorage.setItem(LANGUAGE_ITEM, language);
}

/** `seconds`: since 1970. */
export const formatDateTime = (seconds) => new Date(seconds * 1000).toLocaleString(language, { dateStyle: "medium", timeStyle: "short" });

export const formatMonth = (seconds) => new Date(seconds * 1000).toLocaleDateString(language, { month: "long", year: "numeric" });

export function formatNumber(value, digits = 0) {
  const key = `${language} ${digits}`;
  numberFormats[key] ??= new Intl.NumberFormat(language, { minimumFractionDigits: digits, maximumFractionDigits: digits });
  return numberFormats[key].format(value);
}

/** A duration in its largest unit: "30 days". */
export function formatDuration(seconds) {
  const [unit, length] = [["day", 86400], ["hour", 3600], ["minute", 60]].find(([, size]) => seconds >= size) ?? ["second", 1];
  const value = seconds / length;
  return new Intl.NumberFormat(language, { style: "unit", unit, unitDisplay: "long", maximumFractionDigits: 1 }).format(value);
}

const numberFormats = {}; // building one takes longer than formatting with it

/** Translates the elements of index.html that have data-t, data-t-label, data-t-title or data-t-placeholder. */
export function translatePage() {
  document.documentElement.lang = language === "zh" ? "zh-Hans" : "en";
  for (const node of document.querySelectorAll("[data-t]")) node.textContent = t(node.dataset.t);
  for (const node of document.querySelectorAll("[data-t-title]")) node.title = t(node.dataset.tTitle);
  for (const node of document.querySelectorAll("[data-t-placeholder]")) node.placeholder = t(node.dataset.tPlaceholder);
  for (const node of document.querySelectorAll("[data-t-label]")) {
    const label = t(node.dataset.tLabel);
    node.setAttribute("aria-label", label);
    if (node.tagName === "BUTTON") node.title = label;
  }
}
