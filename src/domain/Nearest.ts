/** "Did you mean": the one name that a mistyped word most likely stands for. */

const distance = (a: string, b: string): number => {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      next[j] = Math.min(row[j]! + 1, next[j - 1]! + 1, row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1))
    }
    row = next
  }
  return row[b.length]!
}

/** The nearest of `names` by edit distance, or nothing when none is near: at most 2 edits, or a third of the word. */
export const nearest = (word: string, names: ReadonlyArray<string>): string | undefined => {
  const best = names.map((name) => [distance(word, name), name] as const).sort((x, y) => x[0] - y[0])[0]
  return best !== undefined && best[0] <= Math.max(2, word.length / 3) ? best[1] : undefined
}
