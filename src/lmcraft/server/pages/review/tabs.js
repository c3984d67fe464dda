// The sections of the review page: who may see them, and the views that draw them. A view is loaded when it is first opened.

const ROLES = ["reviewer", "adjudicator", "owner"]; // each may do what those before may

/** Whether somebody with the role `role` may do what `required` may. */
export const isAllowed = (role, required) => ROLES.indexOf(role) >= ROLES.indexOf(required);

// name: as in the address, #/NAME; label: key of its name; role: the least one that may see it.
export const TABS = [
  {
    name: "judge",
    label: "tabJudge",
    role: "reviewer",
    async load() {
      const { JudgeView } = await import("./views/judge_view.js");
      return JudgeView;
    },
  },
];
