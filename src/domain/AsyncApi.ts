/** The AsyncAPI document of the WebSocket, made from the schemas that its messages are read and written with. */
import { JSONSchema, type Schema } from "effect"
import { ClientMessage, CloseCode, ServerMessage } from "./SocketMessages.ts"

export const ASYNC_API_PATH = "/asyncapi.json"

const capital = (text: string) => `${text.charAt(0).toUpperCase()}${text.slice(1)}`

/** What a message is called: its direction and its `type`. */
const nameOf = (
  direction: string,
  schema: { readonly fields: { readonly type: { readonly literals: readonly [string] } } }
) => `${direction}${capital(schema.fields.type.literals[0])}`

/** AsyncAPI 3.0. */
export const asyncApi = (): Readonly<Record<string, unknown>> => {
  const schemas: Record<string, JSONSchema.JsonSchema7> = {}
  const schemaOf = (schema: Schema.Schema.All) =>
    JSONSchema.fromAST(schema.ast, {
      definitions: schemas,
      definitionPath: "#/components/schemas/",
      target: "jsonSchema2020-12",
      // An identifier on the outermost schema would make the payload a reference to itself.
      topLevelReferenceStrategy: "skip",
      // Fields are added by later releases, and both sides pass over those that they do not know.
      additionalPropertiesStrategy: "allow"
    })
  const messages = Object.fromEntries(
    [
      ...ClientMessage.members.map((member) => [nameOf("Client", member), member] as const),
      ...ServerMessage.members.map((member) => [nameOf("Server", member), member] as const)
    ].map(([name, member]) => [name, { name, contentType: "application/json", payload: schemaOf(member) }])
  )
  const ofChannel = (prefix: string) =>
    Object.keys(messages)
      .filter((name) => name.startsWith(prefix))
      .map((name) => ({ $ref: `#/channels/session/messages/${name}` }))
  const session = { $ref: "#/channels/session" }
  return {
    asyncapi: "3.0.0",
    info: {
      title: "Agent gateway: sessions",
      version: "1",
      description:
        "One JSON text frame a message. Events come in order, each once; keep the last `eventId`, and reconnect with it as " +
        "`lastEventId`. The token goes into the header `Authorization: Bearer`, or, from a browser, into the protocols " +
        "`bearer, <token>`."
    },
    defaultContentType: "application/json",
    channels: {
      session: {
        address: "/ws/{sessionId}",
        parameters: { sessionId: { description: "The session whose events to follow." } },
        bindings: {
          ws: {
            method: "GET",
            query: {
              type: "object",
              properties: { lastEventId: { type: "integer", minimum: 0, default: 0 } }
            }
          }
        },
        messages: Object.fromEntries(
          Object.keys(messages).map((name) => [name, { $ref: `#/components/messages/${name}` }])
        ),
        "x-close-codes": Object.fromEntries(Object.entries(CloseCode).map(([name, code]) => [code, name]))
      }
    },
    operations: {
      toGateway: { action: "receive", channel: session, messages: ofChannel("Client") },
      fromGateway: { action: "send", channel: session, messages: ofChannel("Server") }
    },
    components: { messages, schemas }
  }
}
