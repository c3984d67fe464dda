// The text of the frame of the review page and the page of runs, in English and Chinese.

import { addStrings } from "./strings.js";

addStrings({
  skipToContent: ["Go to the content", "跳到正文"],
  toChat: ["Open the chat", "打开对话"],
  cannotOpen: ["This cannot be shown", "暂时无法显示"],
  changeKey: ["Use another key", "更换密钥"],
  allStates: ["All", "全部"],
  keySearch: ["Search", "搜索"],
});
