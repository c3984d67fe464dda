// The models that people can talk to.

import { t } from "../strings.js";

/** Map of id -> model, in the server's order. */
export const talking = (models) => new Map(models.filter(({ kind }) => kind !== "classifier").map((model) => [model.id, model]));

export function nameOf({ id, adapter_of: base, kind }) {
  if (base) return t("adapterOf", { name: id, base });
  return kind === "completion" ? t("completes", { name: id }) : id;
}
