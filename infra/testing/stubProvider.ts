/** A provider that makes nothing and answers as Google would: `node stubProvider.ts gcp 127.0.0.1:0` prints the port that it listens on. */
import { createHash } from "node:crypto"
import * as pulumi from "@pulumi/pulumi"
import { computed } from "./computed.ts"

/** Of the inputs that a resource was made with. Not the inputs: they would stand in the state a second time, and in the clear. */
const MARK = "madeFrom"
const digest = (inputs: unknown): string => createHash("sha256").update(JSON.stringify(inputs)).digest("hex")

const [, , kind = "", ...rest] = process.argv

const provider: pulumi.provider.Provider = {
  version: "0.0.0",
  check: async (_urn, _olds, news) => ({ inputs: news, failures: [] }),
  create: async (urn, inputs) => {
    const [, , types, name = ""] = urn.split("::")
    const known = computed(types?.split("$").at(-1) ?? "", name, inputs as Record<string, unknown>)
    return {
      id: String(known["id"] ?? `${name}-id`),
      outs: { ...(inputs as object), ...known, [MARK]: digest(inputs) }
    }
  },
  diff: async (_id, _urn, olds, news) => ({
    changes: (olds as Record<string, unknown>)[MARK] !== digest(news),
    replaces: []
  })
}

await pulumi.provider.main(provider, [...rest, kind])
