/**
 * Under which storage and step engine whole-system tests and chaos run: what processes have that are told nothing, unless
 * `MESSAGE_STORAGE=group` or `STEP_ENGINE=auto|journal` says otherwise. Without vitest.
 */
export const messageStorage = process.env["MESSAGE_STORAGE"] === "group" ? "group" : "stock"

const engine = process.env["STEP_ENGINE"]
export const stepEngine = engine === "journal" || engine === "auto" ? engine : "stock"
