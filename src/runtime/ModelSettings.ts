/**
 * Which models and tools a runner has, by its environment. All of it is optional: without a key the local model answers.
 *
 * | variable                    | meaning                                                                                |
 * |-----------------------------|----------------------------------------------------------------------------------------|
 * | `MODEL_SECRET_DIR`          | the mounted Secret; its file `openai-api-key` is read for each request                  |
 * | `OPENAI_MODELS`             | the models in the order in which they are tried, separated by commas                     |
 * | `OPENAI_EMBEDDING_MODEL`    | makes the vectors of memories: `text-embedding-3-small` unless set; `local` asks nobody   |
 * | `OPENAI_API_URL`            | the API's base, `https://api.openai.com/v1` unless set                                  |
 * | `MODEL_REQUESTS_PER_MINUTE` | of this process, 300 unless set                                                         |
 * | `TOOL_POLICY_FILE`          | which tenant may use which tools and reach which hosts: `agent/tools/Policy.ts`, as JSON |
 */
import { existsSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { Either, Schema } from "effect"
import { Policies } from "../agent/tools/Policy.ts"
import type { Reader } from "./Settings.ts"

export interface OpenAiSettings {
  readonly keyFile: string
  readonly url: string
  readonly models: readonly [string, ...ReadonlyArray<string>]
  readonly requestsPerMinute: number
  /** `local`: none of OpenAI's. */
  readonly embeddingModel: string
}

export interface ModelSettings {
  readonly openAi: OpenAiSettings | undefined
  /** Absent: the default of `ToolPolicies`. */
  readonly policies: Policies | undefined
}

const readOpenAi = (reader: Reader): OpenAiSettings | undefined => {
  const folder = reader.text("MODEL_SECRET_DIR", "-")
  if (folder === "-") return undefined
  const keyFile = join(folder, "openai-api-key")
  if (!existsSync(keyFile))
    reader.problems.push(`${keyFile} is missing: is the Secret mounted, with the key openai-api-key?`)
  const url = reader.text("OPENAI_API_URL", "https://api.openai.com/v1")
  if (!/^https?:$/.test(URL.parse(url)?.protocol ?? "")) {
    reader.problems.push(`OPENAI_API_URL is "${url}"; it must be an http(s) URL`)
  }
  const [first, ...others] = reader.list("OPENAI_MODELS", "gpt-5-mini,gpt-4.1-mini")
  if (first === undefined) reader.problems.push("OPENAI_MODELS names no model")
  return {
    keyFile,
    url: url.replace(/\/+$/, ""),
    models: [first ?? "", ...others],
    requestsPerMinute: reader.integer("MODEL_REQUESTS_PER_MINUTE", [1, 1_000_000], 300),
    embeddingModel: reader.text("OPENAI_EMBEDDING_MODEL", "text-embedding-3-small")
  }
}

const readPolicies = (reader: Reader): Policies | undefined => {
  const path = reader.text("TOOL_POLICY_FILE", "-")
  if (path === "-") return undefined
  if (!existsSync(path)) {
    reader.problems.push(`TOOL_POLICY_FILE is ${path}, which does not exist`)
    return undefined
  }
  const decoded = Schema.decodeEither(Schema.parseJson(Policies), { onExcessProperty: "error" })(
    readFileSync(path, "utf8")
  )
  if (Either.isRight(decoded)) return decoded.right
  reader.problems.push(`${path} is no tool policy: ${decoded.left.message.split("\n").at(-1)?.trim()}`)
  return undefined
}

export const readModels = (reader: Reader): ModelSettings => ({
  openAi: readOpenAi(reader),
  policies: readPolicies(reader)
})
