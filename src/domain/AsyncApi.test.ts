import { expect, it } from "vitest"
import { asyncApi } from "./AsyncApi.ts"
import { Event, type EventType, terminalEvents } from "./Event.ts"

const document = asyncApi()
const types: ReadonlyArray<EventType> = [
  "RunAccepted",
  "Token",
  "ToolCall",
  "ToolResult",
  "ApprovalRequested",
  "Approved",
  ...terminalEvents
]
const text = JSON.stringify(document)

const at = (pointer: string): unknown =>
  pointer
    .slice(2)
    .split("/")
    .reduce<unknown>(
      (node, key) => (node as Record<string, unknown> | undefined)?.[decodeURIComponent(key).replaceAll("~1", "/")],
      document
    )

it("describes every message of both directions, with its type", () => {
  const messages = at("#/components/messages") as Record<string, { payload: { properties: { type: object } } }>
  expect(Object.keys(messages).sort()).toEqual([
    "ClientApprove",
    "ClientAsk",
    "ClientCancel",
    "ClientHeartbeat",
    "ServerDone",
    "ServerError",
    "ServerEvent",
    "ServerHeartbeat"
  ])
  for (const [name, { payload }] of Object.entries(messages)) {
    const type = JSON.stringify(payload.properties.type)
    expect(type, name).toContain(`"${name.replace(/^(Client|Server)/, "").toLowerCase()}"`)
  }
  expect(at("#/operations/toGateway")).toMatchObject({ action: "receive", messages: { length: 4 } })
  expect(at("#/operations/fromGateway")).toMatchObject({ action: "send", messages: { length: 4 } })
})

it("names every event, and refers to nothing that is not there", () => {
  for (const type of types) expect(text).toContain(`"_tag":{"type":"string","enum":["${type}"]}`)
  expect(types).toHaveLength(Event.members.length)
  const references = [...text.matchAll(/"\$ref":"([^"]+)"/g)].map(([, pointer]) => pointer ?? "")
  expect(references.length).toBeGreaterThan(10)
  for (const reference of references) expect(at(reference), reference).toBeDefined()
  expect(text).not.toContain("$defs")
})
