import { describe, expect, it } from "vitest"
import { readEnvironment } from "./settings.ts"
import { configOf } from "./testing/capture.ts"

describe("a stack's settings", () => {
  it("protect what holds data unless told otherwise", () => {
    const { "agents:protect": _, ...config } = configOf("prod")
    expect(readEnvironment("prod", config).protect).toBe(true)
    expect(readEnvironment("dev", configOf("dev")).protect).toBe(false)
  })

  it("refuse an environment that does not exist, with the way out", () => {
    expect(() => readEnvironment("production", {})).toThrow(
      /"production".*dev, prod, staging.*Pulumi\.production\.yaml/
    )
  })

  it("say all that is wrong at once, and what was probably meant", () => {
    const config: Record<string, string> = {
      ...configOf("prod"),
      "agents:alerts": "nobody",
      "agents:protected": "true"
    }
    config["agents:database"] = JSON.stringify({ tier: "db-f1-micro", availability: "REGIONAL" })
    const refused = /db-f1-micro.*\n?[\s\S]*/
    expect(() => readEnvironment("prod", config)).toThrow(refused)
    expect(() => readEnvironment("prod", config)).toThrow(/"nobody" is not an e-mail address/)
    expect(() => readEnvironment("prod", config)).toThrow(/agents:protected is no setting. Did you mean protect\?/)
  })

  it("refuse an origin that no browser sends, and everybody's", () => {
    for (const origin of ["*", "https://app.example.com/", "http://app.example.com", "app.example.com"]) {
      const config = { ...configOf("prod"), "agents:origins": JSON.stringify([origin]) }
      expect(() => readEnvironment("prod", config), origin).toThrow(/is not an origin, such as/)
    }
  })

  it("refuse an edge that is named by a tag: tags move", () => {
    const config = { ...configOf("prod") }
    config["agents:edge"] = config["agents:edge"]!.replace("{", '{"image":"x/agents:latest",')
    expect(() => readEnvironment("prod", config)).toThrow(/does not name an image by digest/)
  })
})
