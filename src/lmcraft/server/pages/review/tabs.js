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
  {
    name: "adjudicate",
    label: "tabAdjudicate",
    role: "adjudicator",
    async load() {
      const { AdjudicateView } = await import("./views/adjudicate_view.js");
      return AdjudicateView;
    },
  },
  {
    name: "items",
    label: "items",
    role: "adjudicator",
    async load() {
      const { ItemsView } = await import("./views/items_view.js");
      return ItemsView;
    },
  },
  {
    name: "agreement",
    label: "tabAgreement",
    role: "adjudicator",
    async load() {
      const { AgreementView } = await import("./views/agreement_view.js");
      return AgreementView;
    },
  },
  {
    name: "guidelines",
    label: "tabGuidelines",
    role: "reviewer",
    async load() {
      const { GuidelinesView } = await import("./views/guidelines_view.js");
      return GuidelinesView;
    },
  },
  {
    name: "rounds",
    label: "tabRounds",
    role: "reviewer",
    async load() {
      const { RoundsView } = await import("./views/rounds_view.js");
      return RoundsView;
    },
  },
  {
    name: "settings",
    label: "tabSettings",
    role: "owner",
    async load() {
      const { SettingsView } = await import("./views/settings_view.js");
      return SettingsView;
    },
  },
];
