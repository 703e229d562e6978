/** Who rehearses, as an audit log would name them. */
import { hostname, userInfo } from "node:os"

export const person = (): string => {
  try {
    return `${userInfo().username}@${hostname()}`
  } catch {
    // Some containers run as a number that has no name.
    return `${process.getuid?.() ?? "somebody"}@${hostname()}`
  }
}
