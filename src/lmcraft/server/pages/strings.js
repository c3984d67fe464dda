// What the page says, in English and Chinese.

const KEY = "lmcraft-language";

// name: [English, Chinese]
const STRINGS = {
  skip: ["Skip to the message box", "跳到输入框"],
  conversations: ["Conversations", "对话"],
  close: ["Close", "关闭"],
  cancel: ["Cancel", "取消"],
  ok: ["OK", "确定"],
  save: ["Save", "保存"],
  new: ["New chat", "新对话"],
  untitled: ["New chat", "新对话"],
  search: ["Search", "搜索"],
  more: ["Show more", "显示更多"],
  none: ["No conversations", "没有对话"],
  memoryOnly: ["This server keeps no conversations: they last until you close this page.", "此服务器不保存对话：关闭页面后即消失。"],
  rename: ["Rename", "重命名"],
  renameMore: ["Title of the conversation", "对话标题"],
  remove: ["Delete", "删除"],
  removeMore: ["Delete “{title}” for good?", "永久删除“{title}”吗？"],
  import: ["Import conversations", "导入对话"],
  imported: ["Imported: {n}", "已导入：{n}"],
  notJson: ["{name} is not a JSON file of conversations.", "{name} 不是对话的 JSON 文件。"],
  export: ["Export all conversations", "导出全部对话"],
  themeauto: ["Theme: as the system", "主题：跟随系统"],
  themelight: ["Theme: light", "主题：浅色"],
  themedark: ["Theme: dark", "主题：深色"],
  otherLanguage: ["中文", "English"],
  otherLanguageShort: ["中", "En"],
  help: ["Help", "帮助"],
  model: ["Model", "模型"],
  noModels: ["The server has no model to talk to.", "服务器上没有可对话的模型。"],
  adapterOf: ["{name} (adapter of {base})", "{name}（{base} 的适配器）"],
  completes: ["{name} (continues text)", "{name}（续写文本）"],
  settings: ["Settings", "设置"],
  messages: ["Messages", "消息"],
  welcome: ["What is on your mind?", "想聊点什么？"],
  welcomeMore: ["Edit either side, branch anywhere, compare answers, and look at every token.", "双方的话都能改，处处可分支，可比较回答，可细看每个词元。"],
  message: ["Message", "输入消息"],
  compare: ["Two answers", "两个回答"],
  rival: ["Second model", "第二个模型"],
  context: ["Context used", "已用上下文"],
  contextText: ["{used} of {context} tokens", "{used} / {context} 词元"],
  send: ["Send", "发送"],
  stop: ["Stop", "停止"],
  toEnd: ["To the end", "到末尾"],
  careful: ["A model's answers can be wrong.", "模型的回答可能有误。"],
  you: ["You", "你"],
  answer: ["Answer", "回答"],
  edited: ["edited", "已编辑"],
  thinking: ["Waiting for the first token", "等待第一个词元"],
  finished: ["Answer finished: {text}", "回答完毕：{text}"],
  copy: ["Copy", "复制"],
  edit: ["Edit", "编辑"],
  again: ["Regenerate", "重新生成"],
  good: ["Good answer", "好回答"],
  bad: ["Bad answer", "差回答"],
  why: ["Why? (optional)", "为什么？（可不填）"],
  tokens: ["Tokens", "词元"],
  prompt: ["Exact prompt", "完整提示"],
  go: ["Continue", "继续"],
  previous: ["Previous version", "上一个版本"],
  next: ["Next version", "下一个版本"],
  version: ["Version {n} of {count}", "第 {n} 个版本，共 {count} 个"],
  editLabel: ["Edit the message", "编辑消息"],
  saveAndSend: ["Send", "发送"],
  saveAndGo: ["Save and continue it", "保存并续写"],
  stats: ["{rate} tokens/s · first after {first} s · {n} tokens", "{rate} 词元/秒 · 首个 {first} 秒 · {n} 词元"],
  cutByLength: ["Stopped at the token limit.", "已达词元上限。"],
  stopped: ["Stopped.", "已停止。"],
  retry: ["Retry", "重试"],
  unreachable: ["The server cannot be reached.", "无法连接服务器。"],
  cutOff: ["The connection broke before the answer was complete.", "回答未完成时连接中断。"],
  retryAfter: ["Try again in {seconds} s.", "请在 {seconds} 秒后重试。"],
  notSaved: ["Not saved: {why}", "未保存：{why}"],
  nothingSaid: ["The model ended its answer at once.", "模型直接结束了回答。"],
  prefer: ["I prefer this one", "我更喜欢这个"],
  preferWhy: ["Why? (optional, before you pick)", "为什么？（可不填，先填后选）"],
  neither: ["Skip", "跳过"],
  pair: ["Two answers side by side", "两个回答并排"],
  tokensHelp: ["The stronger the color, the less likely. Click a token, or press Enter on it, for what else was likely.", "颜色越深，可能性越低。点按词元或按回车，可看其他可能。"],
  tokensList: ["Tokens: arrow keys move, Enter shows alternatives", "词元：方向键移动，回车看其他可能"],
  alternatives: ["Alternatives", "其他可能"],
  branchHere: ["Pick another token to branch from here.", "选另一个词元，由此分支。"],
  chosen: ["chosen", "已选"],
  noAlternatives: ["No alternatives were kept.", "没有保存其他可能。"],
  noTokenId: ["This token cannot be written alone, so there is no branching from it.", "此词元无法单独写出，不能由此分支。"],
  promptMore: ["{n} tokens, as the model {model} reads them", "{n} 个词元，即模型 {model} 所读"],
  promptText: ["Text", "文本"],
  promptTokens: ["Tokens and ids", "词元与编号"],
  copyIds: ["Copy ids", "复制编号"],
  copyText: ["Copy text", "复制文本"],
  copyCode: ["Copy code", "复制代码"],
  code: ["Code", "代码"],
  key: ["API key", "API 密钥"],
  keyMore: ["This server asks for an API key. It is kept until you close this tab.", "此服务器需要 API 密钥。密钥保留到关闭此标签页为止。"],
  system: ["System prompt", "系统提示"],
  systemMore: ["What the model is told before the conversation.", "对话开始前告诉模型的话。"],
  reset: ["Use the model's defaults", "使用模型默认值"],
  off: ["off", "关"],
  random: ["random", "随机"],
  temperature: ["Temperature", "温度"],
  temperatureMore: ["0 takes the likeliest token; higher is more varied.", "0 总取最可能的词元；越高越多样。"],
  top_p: ["Top p", "Top p"],
  top_pMore: ["Of the likeliest tokens that together reach this probability.", "只取累计概率达到此值的最可能词元。"],
  top_k: ["Top k", "Top k"],
  top_kMore: ["Of so many likeliest tokens; 0 is off.", "只取最可能的若干词元；0 为关。"],
  min_p: ["Min p", "Min p"],
  min_pMore: ["Of tokens at least this likely, relative to the likeliest.", "只取相对最可能者不低于此值的词元。"],
  repetition_penalty: ["Repetition penalty", "重复惩罚"],
  repetition_penaltyMore: ["Above 1: less of what was already said; 1 is off.", "大于 1 时少重复；1 为关。"],
  presence_penalty: ["Presence penalty", "存在惩罚"],
  presence_penaltyMore: ["Above 0: new tokens rather than used ones.", "大于 0 时偏向新词元。"],
  frequency_penalty: ["Frequency penalty", "频率惩罚"],
  frequency_penaltyMore: ["Above 0: the oftener used, the less likely.", "大于 0 时用得越多越不可能。"],
  max_tokens: ["Most tokens", "最多词元"],
  max_tokensMore: ["Of one answer; empty: as many as fit.", "每个回答；留空则不超过上下文即可。"],
  stopTexts: ["Stop at", "停止文本"],
  stopTextsMore: ["An answer ends before any of these; one per line, \\n for a new line.", "遇到任一文本即止；每行一个，\\n 表示换行。"],
  seed: ["Seed", "随机种子"],
  seedMore: ["The same seed gives the same answer; empty: a new one each time.", "相同种子得相同回答；留空则每次不同。"],
  helpKeys: ["Keyboard", "键盘"],
  keySend: ["Send", "发送"],
  keyNewline: ["New line", "换行"],
  keyStop: ["Stop, or close", "停止或关闭"],
  keyEditLast: ["In an empty message box: edit your last message", "输入框为空时：编辑上一条消息"],
  keyFocus: ["To the message box", "到输入框"],
  keySearch: ["Search conversations", "搜索对话"],
  keyNew: ["New chat", "新对话"],
  keySettings: ["Settings", "设置"],
  keyHelp: ["This help", "本帮助"],
  version_: ["lmcraft {version}", "lmcraft {version}"],
};

const known = ["en", "zh"];
const kept = localStorage.getItem(KEY);
let language = known.includes(kept) ? kept : navigator.language.toLowerCase().startsWith("zh") ? "zh" : "en";

export function t(name, values = {}) {
  const text = STRINGS[name][known.indexOf(language)];
  return text.replace(/\{(\w+)\}/g, (_, value) => values[value]);
}

export function switchLanguage() {
  language = language === "en" ? "zh" : "en";
  localStorage.setItem(KEY, language);
}

export function number(value, digits = 0) {
  return value.toLocaleString(language, { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

/** Words everything that index.html marks with data-t, data-t-label or data-t-placeholder. */
export function wordPage() {
  document.documentElement.lang = language === "zh" ? "zh-Hans" : "en";
  for (const node of document.querySelectorAll("[data-t]")) node.textContent = t(node.dataset.t);
  for (const node of document.querySelectorAll("[data-t-placeholder]")) node.placeholder = t(node.dataset.tPlaceholder);
  for (const node of document.querySelectorAll("[data-t-label]")) {
    const label = t(node.dataset.tLabel);
    node.setAttribute("aria-label", label);
    if (node.tagName === "BUTTON") node.title = label;
  }
}
