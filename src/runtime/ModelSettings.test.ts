import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, expect, it } from "vitest"
import { readModels } from "./ModelSettings.ts"
import { type Env, Reader } from "./Settings.ts"

const folder = mkdtempSync(join(tmpdir(), "agents-models-"))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const read = (env: Env) => {
  const reader = new Reader(env)
  return { settings: readModels(reader), problems: reader.problems }
}

it("has the local model and the default policy when nothing is set", () => {
  expect(read({})).toEqual({ settings: { openAi: undefined, policies: undefined }, problems: [] })
})

it("reads models in their order, and where the key lies", () => {
  writeFileSync(join(folder, "openai-api-key"), "k")
  const { problems, settings } = read({ MODEL_SECRET_DIR: folder, OPENAI_MODELS: "large, small" })
  expect(problems).toEqual([])
  expect(settings.openAi).toEqual({
    keyFile: join(folder, "openai-api-key"),
    url: "https://api.openai.com/v1",
    models: ["large", "small"],
    requestsPerMinute: 300,
    embeddingModel: "text-embedding-3-small"
  })
})

it("says all that is wrong at once", () => {
  writeFileSync(join(folder, "policy.json"), '{"default":{"tools":["calculate"],"host":["x"]}}')
  const { problems } = read({
    MODEL_SECRET_DIR: "/nowhere",
    OPENAI_API_URL: "ftp://x",
    MODEL_REQUESTS_PER_MINUTE: "0",
    TOOL_POLICY_FILE: join(folder, "policy.json")
  })
  expect(problems).toHaveLength(4)
  for (const name of [
    "openai-api-key",
    "OPENAI_API_URL",
    "MODEL_REQUESTS_PER_MINUTE",
    "policy.json is no tool policy"
  ]) {
    expect(problems.join("\n")).toContain(name)
  }
})
