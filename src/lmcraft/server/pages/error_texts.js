// The server's errors in the page's language. An error has a code, and the numbers and names of its message as `values`.

import { formatNumber, getLanguage, t } from "./strings.js";

// code: [English, Chinese]; other codes are shown with the server's English message.
const ERRORS = {
  // Reported by the page itself
  unreachable: ["Cannot reach the server.", "无法连接到服务器。"],
  connection_lost: ["The connection was lost before the answer was complete.", "连接中断，回答不完整。"],
  status: ["The server answered with status {status}.", "服务器返回了状态码 {status}。"],
  other: ["{message}", "请求失败：{message}"],
  // Access
  missing_api_key: ["This server requires an API key.", "此服务器需要 API 密钥。"],
  invalid_api_key: ["This API key is unknown. Check it, or ask for a new one.", "API 密钥不正确。请检查后重试，或申请新的密钥。"],
  rate_limit_exceeded: {
    requests: ["This key has used up its {per_minute} requests a minute.", "此密钥每分钟 {per_minute} 次请求的额度已用完。"],
    tokens: ["This key has used up its {per_minute} tokens a minute.", "此密钥每分钟 {per_minute} 个词元的额度已用完。"],
  },
  tokens_per_minute: [
    "This message may use {tokens} tokens, but the key has {per_minute} a minute. Lower the maximum of tokens, or shorten the chat.",
    "此消息最多需要 {tokens} 个词元，而密钥每分钟的额度为 {per_minute} 个。请调低最大词元数，或缩短对话。",
  ],
  // Load
  queue_full: ["The server is busy: {waiting} requests are waiting.", "服务器繁忙，已有 {waiting} 个请求在排队。"],
  max_requests: ["The server is busy.", "服务器繁忙。"],
  max_open_body_bytes: ["The server is busy.", "服务器繁忙。"],
  timeout: ["The answer took longer than {seconds} s. Lower the maximum of tokens, or try again.", "回答超过了 {seconds} 秒的时限。请调低最大词元数，或重试。"],
  body_timeout: ["The request did not arrive within {seconds} s.", "请求未能在 {seconds} 秒内送达。"],
  body_too_long: ["This is too large: the server accepts {max_bytes} bytes.", "内容过大：服务器最多接受 {max_bytes} 字节。"],
  engine_not_ready: ["The model is starting.", "模型正在启动。"],
  engine_failed: ["The model failed and is starting again.", "模型出错，正在重新启动。"],
  shutting_down: ["The server is shutting down.", "服务器正在关闭。"],
  internal_error: ["The server failed. Its log says why.", "服务器内部错误，原因请查看服务器日志。"],
  upstream_failed: ["The engine behind this server answered with status {status}.", "后端引擎返回了状态码 {status}。"],
  upstream_unreachable: ["The engine behind this server cannot be reached.", "无法连接到后端引擎。"],
  upstream_timeout: ["The engine behind this server took too long. Lower the maximum of tokens, or try again.", "后端引擎响应超时。请调低最大词元数，或重试。"],
  upstream_stopped: ["The engine behind this server stopped in the middle of the answer.", "后端引擎在回答中途停止了。"],
  energy_unknown: ["A gateway cannot know what the engine behind it draws.", "网关无法得知后端引擎的耗电量。"],
  no_lens: ["Another engine runs this model, so its layers cannot be read.", "该模型由其他引擎运行，无法读取其各层。"],
  lens_too_long: ["The layers can be read for the first {max} tokens of a chat; here it has {tokens}.", "最多只能查看对话前 {max} 个词元处的各层预测，此处已有 {tokens} 个。"],
  // Moderation
  content_filter: ["The policy of this server refuses this text.", "服务器的内容策略不允许这段内容。"],
  no_judge: ["The server cannot judge texts at the moment, so it refuses them. Try again.", "服务器暂时无法审核内容，因此全部拒绝。请稍后重试。"],
  not_judged: ["The server refuses what it cannot judge: pictures, sound, and lists of tokens.", "服务器拒绝无法审核的内容，例如图片、音频和词元列表。"],
  // Runs
  no_runs: ["This server shows no runs. Start it with --runs DIR.", "此服务器未启用训练页面，请使用 --runs DIR 启动。"],
  unknown_run: ["This run is gone.", "该训练任务已不存在。"],
  run_not_running: ["No process runs this any more, so there is nothing to stop.", "该训练任务没有在运行，无需停止。"],
  run_elsewhere: [
    "The process of this run cannot be verified on the server’s machine (it runs on “{host}”). Stop it there, with Ctrl-C or kill.",
    "无法在服务器所在的机器上确认该训练进程（其运行于“{host}”）。请在那台机器上用 Ctrl-C 或 kill 停止。",
  ],
  run_is_running: ["This run is running already.", "该训练任务已在运行。"],
  resume_started: ["This run is already being resumed.", "该训练任务正在恢复中。"],
  no_checkpoint: ["This run cannot be resumed: it has no checkpoint, or no steps left.", "无法恢复该训练任务：没有检查点，或训练步数已全部完成。"],
  part_of_command: [
    "This run is part of “{parent}”. Stop or resume the command that runs it, in its terminal.",
    "该训练任务属于“{parent}”，请在终端中停止或恢复启动它的命令。",
  ],
  run_folder: ["The folder of this run cannot be written.", "无法写入该训练任务的文件夹。"],
  // Reviews
  no_role: ["This key has no role in reviews. Ask the server’s owner for one.", "此密钥没有审核权限，请联系服务器所有者。"],
  role_needed: {
    adjudicator: ["Only adjudicators can do this.", "只有仲裁员可以执行此操作。"],
    owner: ["Only owners can do this.", "只有所有者可以执行此操作。"],
  },
  no_reviews: ["This server has no reviews.", "此服务器未启用审核功能。"],
  reviews_failed: ["The reviews could not be saved.", "保存失败：审核数据库出错。"],
  claim_expired: ["Your claim of this item has ended, and somebody else may have it.", "领取已失效，该条目可能已由他人处理。"],
  id_conflict: ["Something else has the same id.", "该编号已被占用。"],
  unknown_label: ["The guideline has no such label. Reload the page.", "审核准则中没有这个标签，请刷新页面。"],
  unknown_rule: ["The guideline has no such rule. Reload the page.", "审核准则中没有这条规则，请刷新页面。"],
  contradictory_texts: {
    both: ["No answer contains “{contains}” without “{excludes}”, which it must not contain. Remove one of them.", "“{contains}”与“{excludes}”相互矛盾：回答无法既包含前者又不包含后者，请删去其中一条。"],
    lacks: ["Your better answer lacks “{contains}”, which an answer must contain.", "你写的更好的回答不包含“{contains}”，与“应包含”的要求不符。"],
    has: ["Your better answer contains “{excludes}”, which an answer must not contain.", "你写的更好的回答包含了“{excludes}”，与“不得包含”的要求不符。"],
  },
  forbidden_task: ["Only adjudicators can do this.", "只有仲裁员可以执行此操作。"],
  wrong_state: ["This item has changed in the meantime.", "该条目的状态已发生变化。"],
  no_settings: [
    "The guideline has no settings. Begin one of its texts with a line of +++, the settings, and another line of +++.",
    "规范缺少设置：请在其中一个文本的开头写一行 +++、设置内容，再写一行 +++。",
  ],
  two_settings: ["Both texts have settings. Leave them out of the translation.", "两个文本都有设置，请删除译文中的设置。"],
  already_judged: ["You have already judged this item, perhaps in another tab or on another device.", "你已判定过这个条目，可能是在其他标签页或设备上。"],
  too_few_items: ["Only {waiting} of the guideline’s items still wait for their first review. Choose fewer, or add items.", "该规范下尚待首次审核的条目只有 {waiting} 个，请减少数量或添加条目。"],
  round_exists: ["Another calibration round has this name. Choose another.", "已有同名的校准，请换一个名称。"],
  item_unavailable: ["Somebody has already judged or claimed one of these items. Choose others.", "所选条目中有的已被审核或领取，请另选条目。"],
  round_open: ["This calibration round is still open: its votes are hidden until it is revealed.", "校准仍在进行，揭晓前无法查看他人的判断。"],
  round_revealed: ["This calibration round has been revealed, so it takes no more votes.", "校准结果已揭晓，不再接受新的判断。"],
  // Models
  model_not_found: ["The server has no model “{model}”.", "服务器上没有模型“{model}”。"],
  model_damaged: ["The weights of this model are damaged. Download or save it again.", "模型的权重已损坏，请重新下载或保存。"],
  no_chat_template: ["“{model}” has no chat template: choose a model that was tuned for chat.", "“{model}”没有对话模板，请选择对话模型。"],
  no_system_message: ["This model takes no system prompt. Clear it in the settings.", "此模型不支持系统提示词，请在设置中清空。"],
  template_failed: ["The model’s chat template refuses this chat: {reason}", "模型的对话模板无法处理此对话：{reason}"],
  context_length_exceeded: {
    prompt: [
      "This chat is too long: it has {prompt_tokens} tokens, and the model reads at most {context}, its answer included.",
      "对话过长：已有 {prompt_tokens} 个词元，而模型最多能处理 {context} 个（含回答）。",
    ],
    max_tokens: [
      "Chat and answer are too long: {prompt_tokens} tokens and at most {max_tokens} more, and the model reads at most {context}.",
      "对话加回答过长：已有 {prompt_tokens} 个词元，回答最多 {max_tokens} 个，而模型最多能处理 {context} 个。",
    ],
  },
  // Saved chats
  no_store: ["This server does not save chats.", "此服务器不保存对话。"],
  not_found: ["It may have been deleted.", "内容不存在，可能已被删除。"],
  id_taken: ["Another chat or message has the same id.", "已存在编号相同的对话或消息。"],
  store_failed: ["The chats could not be saved.", "保存失败：对话数据库出错。"],
  conversation_full: ["A chat has at most {max} messages. Start another.", "一个对话最多包含 {max} 条消息，请新建对话。"],
  text_too_long: ["A text has {length} characters, and at most {max} are saved.", "文本有 {length} 个字符，最多保存 {max} 个。"],
  json_too_long: ["A message has {bytes} bytes of details, and at most {max_bytes} are saved.", "消息的附加数据有 {bytes} 字节，最多保存 {max_bytes} 字节。"],
  unknown_message: ["A message in the file refers to one that does not come before it.", "文件中的某条消息引用了不在其之前的消息。"],
  repeated_message_id: ["Two messages in the file have the same id.", "文件中有两条消息的编号相同。"],
  system_not_first: ["A system prompt in the file is not at the beginning of its chat.", "文件中的系统提示词不在对话开头。"],
  circular_message: ["A message in the file comes after itself.", "文件中的消息引用关系形成了循环。"],
  foreign_conversation: ["This is not a chat of {program}.", "这不是 {program} 的对话。"],
  invalid_character: ["A text has a character that cannot be saved, at position {position}.", "文本中第 {position} 个字符无法保存。"],
  json_too_deep: ["A value is nested more than {max} levels deep.", "数据嵌套超过 {max} 层。"],
  no_feedback: ["There is no such feedback yet. Rate or pick some answers first.", "暂无此类反馈，请先评价或选择一些回答。"],
  // Files
  no_pypdf: ["This server cannot read PDF files: the package pypdf is not installed there.", "此服务器未安装 pypdf，无法读取 PDF 文件。"],
  unreadable_pdf: ["The PDF file cannot be read. It may be damaged, encrypted or too large.", "无法读取此 PDF 文件，文件可能已损坏、已加密或过大。"],
  pdf_without_text: ["The PDF file has no text. Scanned pages need text recognition first.", "此 PDF 文件没有文本；扫描件需先进行文字识别。"],
  // Values
  json: ["This is not valid JSON.", "JSON 格式不正确。"],
  missing_required_parameter: ["“{param}” is missing.", "缺少“{param}”。"],
  unknown_parameter: ["“{param}” is not supported here.", "此处不支持“{param}”。"],
  invalid_type: ["“{param}” has a value of the wrong kind: {value}", "“{param}”的值类型不正确：{value}"],
  invalid_value: {
    greater_than: ["“{param}” is {value}, and must be above {gt}.", "“{param}”为 {value}，必须大于 {gt}。"],
    greater_than_equal: ["“{param}” is {value}, and must be at least {ge}.", "“{param}”为 {value}，不能小于 {ge}。"],
    less_than: ["“{param}” is {value}, and must be below {lt}.", "“{param}”为 {value}，必须小于 {lt}。"],
    less_than_equal: ["“{param}” is {value}, and must be at most {le}.", "“{param}”为 {value}，不能大于 {le}。"],
    literal_error: ["“{param}” is {value}; use {expected}.", "“{param}”为 {value}，应为 {expected}。"],
    string_too_long: ["“{param}” has more than {max_length} characters.", "“{param}”超过 {max_length} 个字符。"],
    too_long: ["“{param}” has more than {max_length} entries.", "“{param}”超过 {max_length} 项。"],
    too_short: ["“{param}” has too few entries.", "“{param}”的项数不足。"],
  },
};

const PLACE = ["Item {number} of the file: ", "文件第 {number} 项："];

/** Why an answer failed: an error object, or a text. */
export const wordProblem = (problem) => (typeof problem === "object" && problem ? wordError(problem) : problem);

/** The text of an error object of the server. seconds: until the request may succeed, if known. */
export function wordError({ seconds, ...error }) {
  const text = findWords(error);
  return seconds ? `${text} ${t("retryAfter", { seconds })}` : text;
}

function findWords({ code, param, message, values = {} }) {
  const entry = ERRORS[code];
  const texts = Array.isArray(entry) ? entry : entry?.[values.unit ?? values.role ?? values.rule];
  const known = { ...values, param, message };
  const isChinese = getLanguage() === "zh";
  const text = texts?.[isChinese ? 1 : 0];
  const names = text ? [...text.matchAll(/\{(\w+)\}/g)].map(([, name]) => name) : [];
  if (!text || names.some((name) => known[name] === undefined || known[name] === null)) return message && findWords({ code: "other", message });
  const place = values.number ? PLACE[isChinese ? 1 : 0].replace("{number}", formatNumber(values.number)) : "";
  return place + text.replace(/\{(\w+)\}/g, (_, name) => (typeof known[name] === "number" ? formatNumber(known[name]) : known[name]));
}
