// The text of the review page, in English and Chinese. The sections of adjudicators and owners have a file of their own.

import { addStrings } from "../strings.js";

addStrings({
  // The frame
  review: ["Review", "人工审核"],
  skipToContent: ["Go to the content", "跳到正文"],
  sections: ["Sections", "栏目"],
  toChat: ["Open the chat", "打开对话"],
  tabJudge: ["Judge", "审核"],
  cannotOpen: ["This cannot be shown", "暂时无法显示"],
  // The user
  person: ["You: {name}, {role}", "当前用户：{name}，{role}"],
  personTitle: ["You are {name}", "{name}"],
  reviewer: ["reviewer", "审核员"],
  adjudicator: ["adjudicator", "仲裁员"],
  owner: ["owner", "负责人"],
  reviewerHelp: ["As a reviewer, you judge items without seeing what others decided.", "审核员独立完成判定，看不到其他人的结果。"],
  adjudicatorHelp: ["As an adjudicator, you review items and decide those on which reviewers disagree.", "仲裁员除参与审核外，还负责对存在分歧的条目作出最终裁定。"],
  ownerHelp: ["As the owner, you review, adjudicate, and manage guidelines, calibration rounds and settings.", "负责人可参与审核和仲裁，并管理审核规范、校准轮次和设置。"],
  judgedToday: ["judged today", "今日已审"],
  sensitiveToday: ["sensitive items today, of at most {cap}", "今日敏感条目，上限 {cap}"],
  goldCorrect: ["correct on items with a known answer", "质检题答对数"],
  changeKey: ["Use another key", "更换密钥"],
});
