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
