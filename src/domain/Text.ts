/** Which texts Postgres keeps, in a text or as JSON: neither U+0000 nor half of a surrogate pair. */
export const isStorable = (text: string): boolean => !text.includes("\0") && text.isWellFormed()

/** Whether a text that is not is anywhere in a JSON value, keys included. */
export const holdsUnstorable = (value: unknown): boolean =>
  typeof value === "string"
    ? !isStorable(value)
    : typeof value === "object" &&
      value !== null &&
      Object.entries(value).some(([key, each]) => !isStorable(key) || holdsUnstorable(each))
