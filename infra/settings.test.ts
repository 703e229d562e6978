import * as pulumi from "@pulumi/pulumi"
import { describe, expect, it } from "vitest"
import { readSettings } from "./settings.ts"

const config = (values: Readonly<Record<string, string>>) => {
  pulumi.runtime.setAllConfig(Object.fromEntries(Object.entries(values).map(([key, value]) => [`t:${key}`, value])))
  return new pulumi.Config("t")
}

describe("a stack's settings", () => {
  it("protect what holds data unless told otherwise, and leave the pipeline to the stack that is told to make it", () => {
    expect(readSettings(config({ environment: "prod" }))).toEqual({
      environment: "prod",
      delivery: false,
      protect: true
    })
  })

  it("refuse an environment that does not exist, with the way out", () => {
    expect(() => readSettings(config({ environment: "production" }))).toThrow(
      /"production".*dev, staging, prod.*pulumi config set/
    )
  })
})
