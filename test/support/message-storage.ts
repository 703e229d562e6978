/**
 * Under which storage and step engine whole-system tests and chaos run: what processes have that are told nothing, unless
 * `MESSAGE_STORAGE=stock` or `STEP_ENGINE=stock|journal` says otherwise. Without vitest.
 */
export const messageStorage = process.env["MESSAGE_STORAGE"] === "stock" ? "stock" : "group"

const engine = process.env["STEP_ENGINE"]
export const stepEngine = engine === "journal" || engine === "stock" ? engine : "auto"
