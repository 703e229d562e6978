/** A local server that speaks the wire format of OpenAI's Responses and Embeddings APIs, and misbehaves as it is told. */
import { createServer, type IncomingHttpHeaders, type ServerResponse } from "node:http"
import type { AddressInfo } from "node:net"
import { Effect, type Scope } from "effect"

export interface Asked {
  readonly headers: IncomingHttpHeaders
  readonly body: {
    readonly model: string
    readonly stream?: boolean
    readonly input: ReadonlyArray<{ readonly role: string; readonly content: string }>
    readonly tools?: ReadonlyArray<{ readonly name: string }>
    /** Of a request for embeddings, whose input is texts. */
    readonly dimensions?: number
  }
}

/** How one request is answered. */
export type Behaviour =
  /** For embeddings. They come in another order than they were asked for. */
  | { readonly vectors: (text: string) => ReadonlyArray<number> }
  | { readonly text: ReadonlyArray<string> }
  | { readonly calls: ReadonlyArray<{ readonly name: string; readonly arguments: string }> }
  | { readonly status: number; readonly headers?: Readonly<Record<string, string>> }
  /** Sends the pieces and then nothing more, or closes the connection, or says that it failed. */
  | { readonly text: ReadonlyArray<string>; readonly ending: "silence" | "cut" | "failed" }
  | "silence"

const response = (model: string, status: string, output: ReadonlyArray<unknown>) => ({
  id: "resp_1",
  object: "response",
  created_at: 1_760_000_000,
  status,
  error: status === "failed" ? { code: "server_error", message: "The server had an error." } : null,
  incomplete_details: null,
  instructions: null,
  max_output_tokens: null,
  model,
  output,
  parallel_tool_calls: true,
  previous_response_id: null,
  store: false,
  temperature: 1,
  tool_choice: "auto",
  tools: [],
  top_p: 1,
  truncation: "disabled",
  usage: {
    input_tokens: 3,
    input_tokens_details: { cached_tokens: 0 },
    output_tokens: 5,
    output_tokens_details: { reasoning_tokens: 0 },
    total_tokens: 8
  },
  user: null,
  metadata: {}
})

const message = (text: string, status: string) => ({
  id: "msg_1",
  type: "message",
  status,
  role: "assistant",
  content: status === "in_progress" ? [] : [{ type: "output_text", text, annotations: [], logprobs: [] }]
})

const stream = (reply: ServerResponse, model: string, pieces: ReadonlyArray<string>, ending?: string) => {
  reply.writeHead(200, { "content-type": "text/event-stream; charset=utf-8" })
  let sequence = 0
  const send = (type: string, fields: object) =>
    reply.write(`event: ${type}\ndata: ${JSON.stringify({ type, sequence_number: sequence++, ...fields })}\n\n`)
  const place = { item_id: "msg_1", output_index: 0, content_index: 0 }
  send("response.created", { response: response(model, "in_progress", []) })
  // Not in any schema: a client must pass over it.
  send("keepalive", {})
  send("response.output_item.added", { output_index: 0, item: message("", "in_progress") })
  for (const delta of pieces) send("response.output_text.delta", { ...place, delta, logprobs: [] })
  if (ending === "silence") return
  if (ending === "cut") return void setImmediate(() => reply.destroy())
  if (ending === "failed") {
    send("response.failed", { response: response(model, "failed", []) })
    return void reply.end()
  }
  const text = pieces.join("")
  send("response.output_text.done", { ...place, text, logprobs: [] })
  send("response.completed", { response: response(model, "completed", [message(text, "completed")]) })
  reply.end()
}

export interface OpenAiServer {
  readonly url: string
  readonly asked: ReadonlyArray<Asked>
  /** How many requests came with a key that is not among `keys`. */
  readonly refused: () => number
  /** Sets how the next requests are answered, in turn; the last one stays. */
  readonly script: (...behaviours: ReadonlyArray<Behaviour>) => void
  /** Keys that it takes; at first `first`. */
  readonly keys: Set<string>
}

export const openAiServer: Effect.Effect<OpenAiServer, never, Scope.Scope> = Effect.gen(function* () {
  const asked: Array<Asked> = []
  let refused = 0
  const keys = new Set(["first"])
  let queue: ReadonlyArray<Behaviour> = [{ text: ["Hello", " there"] }]
  const server = yield* Effect.acquireRelease(
    Effect.async<ReturnType<typeof createServer>>((resume) => {
      const made = createServer((request, reply) => {
        let text = ""
        request.on("data", (chunk) => (text += chunk))
        request.on("end", () => {
          const refuse = (status: number, headers: Readonly<Record<string, string>> = {}) =>
            reply
              .writeHead(status, { "content-type": "application/json", ...headers })
              .end(JSON.stringify({ error: { message: `about: ${text}`, type: "x", param: null, code: null } }))
          if (!keys.has((request.headers.authorization ?? "").replace("Bearer ", ""))) {
            refused += 1
            return refuse(401)
          }
          if (request.method !== "POST" || !["/v1/responses", "/v1/embeddings"].includes(request.url ?? ""))
            return refuse(404)
          const body = JSON.parse(text) as Asked["body"]
          asked.push({ headers: request.headers, body })
          const behaviour: Behaviour = queue[0] ?? "silence"
          if (queue.length > 1) queue = queue.slice(1)
          if (behaviour === "silence") return
          if ("status" in behaviour) return refuse(behaviour.status, behaviour.headers)
          if ("vectors" in behaviour) {
            const texts = body.input as unknown as ReadonlyArray<string>
            const data = texts.map((one, index) => ({ object: "embedding", index, embedding: behaviour.vectors(one) }))
            const usage = { prompt_tokens: texts.length, total_tokens: texts.length }
            return reply
              .writeHead(200, { "content-type": "application/json" })
              .end(JSON.stringify({ object: "list", model: body.model, data: data.reverse(), usage }))
          }
          if ("calls" in behaviour) {
            const output = behaviour.calls.map((call, index) => ({
              type: "function_call",
              id: `fc_${index}`,
              call_id: `call_${index}`,
              status: "completed",
              ...call
            }))
            return reply
              .writeHead(200, { "content-type": "application/json" })
              .end(JSON.stringify(response(body.model, "completed", output)))
          }
          if (body.stream === true) {
            return stream(reply, body.model, behaviour.text, "ending" in behaviour ? behaviour.ending : undefined)
          }
          reply
            .writeHead(200, { "content-type": "application/json" })
            .end(JSON.stringify(response(body.model, "completed", [message(behaviour.text.join(""), "completed")])))
        })
      })
      made.listen(0, "127.0.0.1", () => resume(Effect.succeed(made)))
    }),
    (made) =>
      Effect.sync(() => {
        made.closeAllConnections()
        made.close()
      })
  )
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`,
    asked,
    refused: () => refused,
    keys,
    script: (...behaviours) => {
      queue = [...behaviours]
    }
  }
})
