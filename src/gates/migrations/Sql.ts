/**
 * Just enough of SQL's surface to tell statements apart and to see words outside of comments and strings.
 *
 * Not a parser: Postgres itself judges the statements. This only answers what must be known before anything is sent, such
 * as "does this file end its own transaction".
 */

export interface SqlStatement {
  /** As written, without the final semicolon. */
  readonly text: string
  /** 1-based line of its first word. */
  readonly line: number
  /** Lower case, comments and plain strings removed, whitespace squeezed. Dollar-quoted bodies stay: they hold code. */
  readonly words: string
}

/** The end of the token that starts at `start`, and whether it says something: comments and plain strings do not. */
const tokenAt = (
  sql: string,
  start: number
): { readonly end: number; readonly kind: "comment" | "string" | "code" } => {
  const rest = sql.slice(start, start + 2)
  if (rest === "--") {
    const end = sql.indexOf("\n", start)
    return { end: end === -1 ? sql.length : end, kind: "comment" }
  }
  if (rest === "/*") {
    // Postgres nests block comments.
    let depth = 1
    let at = start + 2
    while (at < sql.length && depth > 0) {
      const two = sql.slice(at, at + 2)
      if (two === "/*") depth++
      else if (two === "*/") depth--
      at += two === "/*" || two === "*/" ? 2 : 1
    }
    return { end: at, kind: "comment" }
  }
  const char = sql[start]
  if (char === "'" || char === '"') {
    const escapes = char === "'" && /e/i.test(sql[start - 1] ?? "") && !/\w/.test(sql[start - 2] ?? "")
    let at = start + 1
    while (at < sql.length) {
      if (escapes && sql[at] === "\\") at += 2
      else if (sql[at] !== char) at++
      else if (sql[at + 1] === char) at += 2
      else break
    }
    return { end: Math.min(at + 1, sql.length), kind: char === "'" ? "string" : "code" }
  }
  if (char === "$" && !/\w/.test(sql[start - 1] ?? "")) {
    const tag = /^\$(?:[a-z_]\w*)?\$/i.exec(sql.slice(start, start + 65))?.[0]
    if (tag !== undefined) {
      const end = sql.indexOf(tag, start + tag.length)
      return { end: end === -1 ? sql.length : end + tag.length, kind: "code" }
    }
  }
  return { end: start + 1, kind: "code" }
}

/** The statements of a script, in order. Empty ones are left out. */
export const split = (sql: string): ReadonlyArray<SqlStatement> => {
  const statements: Array<SqlStatement> = []
  let from = 0
  let words = ""
  let at = 0
  const finish = (end: number) => {
    const said = words.replace(/\s+/g, " ").trim().toLowerCase()
    if (said !== "") {
      let begin = from
      for (;;) {
        const token = tokenAt(sql, begin)
        if (token.kind !== "comment" && !/\s/.test(sql[begin]!)) break
        begin = token.end
      }
      statements.push({
        text: sql.slice(begin, end).trimEnd(),
        line: sql.slice(0, begin).split("\n").length,
        words: said
      })
    }
    words = ""
  }
  while (at < sql.length) {
    if (sql[at] === ";") {
      finish(at)
      from = at + 1
      at = from
      continue
    }
    const { end, kind } = tokenAt(sql, at)
    words += kind === "comment" ? " " : kind === "string" ? "''" : sql.slice(at, end)
    at = end
  }
  finish(sql.length)
  return statements
}

/** What PREPARE takes. Anything else (LISTEN, SET, DDL) can't be planned ahead, so it can't be proven by planning. */
export const canPrepare = (sql: string): boolean =>
  /^\(*\s*(select|insert|update|delete|merge|with|values|table)\b/.test(split(sql)[0]?.words ?? "")
