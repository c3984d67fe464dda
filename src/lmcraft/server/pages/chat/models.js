// The models that can chat.

import { t } from "../strings.js";

/** Map of id -> model, in the server's order, without the classifiers. */
export function selectChatModels(models) {
  return new Map(models.filter(({ kind }) => kind !== "classifier").map((model) => [model.id, model]));
}

export function formatModelName({ id, adapter_of: base, kind }) {
  if (base) return t("adapterModel", { name: id, base });
  return kind === "completion" ? t("completionModel", { name: id }) : id;
}

const DEFAULT_LIMITS = { chat: 2048, completion: 256 }; // tokens; a base model does not know when to stop

/** The most tokens of an answer whose length is not set, if the context has room for them; undefined without a model. */
export const getDefaultLimit = (model) => model && Math.min(DEFAULT_LIMITS[model.kind], Math.floor((model.context ?? Infinity) / 2));

/** The model that a user would compare with this one: its adapter, or the base of an adapter; otherwise itself. */
export function suggestSecondModel(id, models) {
  const base = models.get(id)?.adapter_of;
  const adapter = [...models.values()].findLast(({ adapter_of: adapterOf }) => adapterOf === id);
  return adapter?.id ?? (models.has(base) ? base : id);
}
