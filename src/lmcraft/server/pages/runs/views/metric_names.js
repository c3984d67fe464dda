// How quantities are called on the page.

import { t } from "../../strings.js";
import { describeMetric } from "../state/metrics.js";

/** "Validation loss", "arc_easy/accuracy", "grad norm" */
export function titleOfMetric(name) {
  const { label, suffix } = describeMetric(name);
  return label ? t(label) : suffix;
}
