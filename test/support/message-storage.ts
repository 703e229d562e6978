/** Under which storage the tests run: `MESSAGE_STORAGE=group vitest run …` plays them on the other one. Without vitest. */
export const messageStorage = process.env["MESSAGE_STORAGE"] === "group" ? "group" : "stock"

/** `STEP_ENGINE=journal …` plays the tests on the journal. */
export const stepEngine = process.env["STEP_ENGINE"] === "journal" ? "journal" : "stock"
