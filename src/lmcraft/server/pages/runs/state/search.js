// Search in ascending numbers.

/** The index of the first of ascending numbers that is not below `value`. */
export function findFirst(numbers, value) {
  let [low, high] = [0, numbers.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (numbers[middle] < value) low = middle + 1;
    else high = middle;
  }
  return low;
}
