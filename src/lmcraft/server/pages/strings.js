// The text on the page, in English and Chinese.

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
  otherLanguageShort: ["中", "En"],
  introduction: ["Edit any message, branch anywhere, compare answers, and inspect every token.", "编辑任意消息，从任意位置创建分支，对比不同回答，查看每个词元。"],
  // Sidebar
  chats: ["Chats", "对话"],
  newChat: ["New chat", "新对话"],
  search: ["Search chats", "搜索对话"],
  showMore: ["Show more", "显示更多"],
  noChats: ["No chats", "暂无对话"],
  memoryOnly: ["This server does not save chats. They are lost when you close this page.", "此服务器不保存对话，关闭页面后对话会丢失。"],
  rename: ["Rename", "重命名"],
  chatTitle: ["Chat title", "对话标题"],
  delete: ["Delete", "删除"],
  confirmDeletion: ["Delete “{title}”? This cannot be undone.", "确定删除“{title}”吗？删除后无法恢复。"],
  import: ["Import chats", "导入对话"],
  imported: ["Chats imported: {n}", "已导入 {n} 个对话"],
  notJson: ["{name} is not a valid JSON file.", "{name} 不是有效的 JSON 文件。"],
  export: ["Export all chats", "导出全部对话"],
  // Models
  model: ["Model", "模型"],
  noModels: ["This server has no chat models.", "此服务器上没有可用的对话模型。"],
  adapterModel: ["{name} (adapter for {base})", "{name}（{base} 的适配器）"],
  completionModel: ["{name} (text completion)", "{name}（文本续写）"],
  // Message box
  welcome: ["What’s on your mind?", "想聊点什么？"],
  message: ["Type a message", "输入消息"],
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
  stats: ["{rate} tokens/s · first token in {first} s · {n} tokens", "{rate} 词元/秒 · 首词元 {first} 秒 · 共 {n} 个词元"],
  cutByLength: ["Stopped at the token limit.", "已达词元上限，回答被截断。"],
  stopped: ["Stopped.", "已停止。"],
  emptyAnswer: ["The model returned an empty answer.", "模型没有生成任何内容。"],
  notSaved: ["Could not save: {reason}", "保存失败：{reason}"],
  // Message buttons
  copy: ["Copy", "复制"],
  edit: ["Edit", "编辑"],
  regenerate: ["Regenerate", "重新生成"],
  continue: ["Continue", "继续生成"],
  good: ["Good answer", "回答得好"],
  bad: ["Bad answer", "回答得不好"],
  reason: ["Why? (optional)", "原因（选填）"],
  tokens: ["Tokens", "词元"],
  prompt: ["Exact prompt", "完整提示词"],
  previous: ["Previous version", "上一个版本"],
  next: ["Next version", "下一个版本"],
  version: ["Version {n} of {count}", "第 {n} 个版本，共 {count} 个"],
  retry: ["Retry", "重试"],
  editMessage: ["Edit message", "编辑消息"],
  saveAndContinue: ["Save and continue", "保存并继续生成"],
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
  promptNote: ["{n} tokens, exactly as {model} reads them", "共 {n} 个词元，即模型 {model} 实际收到的输入"],
  promptText: ["Text", "文本"],
  promptTokens: ["Tokens and IDs", "词元与 ID"],
  copyIds: ["Copy IDs", "复制 ID"],
  copyText: ["Copy text", "复制文本"],
  copyCode: ["Copy code", "复制代码"],
  code: ["Code", "代码"],
  // Connection
  unreachable: ["Cannot reach the server.", "无法连接到服务器。"],
  connectionLost: ["The connection was lost before the answer was complete.", "连接中断，回答不完整。"],
  retryAfter: ["Try again in {seconds} s.", "请在 {seconds} 秒后重试。"],
  key: ["API key", "API 密钥"],
  keyHelp: ["This server requires an API key. It is kept until you close this tab.", "此服务器需要 API 密钥。关闭此标签页后，密钥会被清除。"],
  // Settings
  settings: ["Settings", "设置"],
  system: ["System prompt", "系统提示词"],
  systemMore: ["Instructions that the model reads before the chat.", "对话开始前提供给模型的指令。"],
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

let language = loadLanguage();

function loadLanguage() {
  const saved = localStorage.getItem(LANGUAGE_ITEM);
  if (LANGUAGES.includes(saved)) return saved;
  return navigator.language.toLowerCase().startsWith("zh") ? "zh" : "en";
}

/** The text of a key in the page's language, with the values in place of {name}. */
export function t(key, values = {}) {
  const text = STRINGS[key][LANGUAGES.indexOf(language)];
  return text.replace(/\{(\w+)\}/g, (_, name) => values[name]);
}

/** The text in the page's language from the server's {en, zh}. */
export function localize(texts) {
  return texts[language];
}

export function toggleLanguage() {
  language = language === "en" ? "zh" : "en";
  localStorage.setItem(LANGUAGE_ITEM, language);
}

export function formatNumber(value, digits = 0) {
  return value.toLocaleString(language, { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

/** Translates the elements of index.html that have data-t, data-t-label or data-t-placeholder. */
export function translatePage() {
  document.documentElement.lang = language === "zh" ? "zh-Hans" : "en";
  for (const node of document.querySelectorAll("[data-t]")) node.textContent = t(node.dataset.t);
  for (const node of document.querySelectorAll("[data-t-placeholder]")) node.placeholder = t(node.dataset.tPlaceholder);
  for (const node of document.querySelectorAll("[data-t-label]")) {
    const label = t(node.dataset.tLabel);
    node.setAttribute("aria-label", label);
    if (node.tagName === "BUTTON") node.title = label;
  }
}
