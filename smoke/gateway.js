// What the smoke run and the load share: who we are, the gateway's HTTP calls, and a session's WebSocket.
//
// k6 is a client like any other here: no call is repeated behind the scripts' back, so what fails is seen.
import exec from "k6/execution"
import http from "k6/http"
import { clearTimeout, setTimeout } from "k6/timers"
import { WebSocket } from "k6/websockets"

export const GATEWAY_URL = (__ENV.GATEWAY_URL || "http://agent-gateway.agents.svc.cluster.local:8080").replace(
  /\/$/,
  ""
)
const METADATA_HOST = __ENV.GCE_METADATA_HOST || "metadata.google.internal"
const IDENTITY_PATH = "/computeMetadata/v1/instance/service-accounts/default/identity"

/** An identity token of the service account that this runs as, from the metadata server as on GCP. */
export const fetchToken = () => {
  const audience = __ENV.IDENTITY_AUDIENCE
  if (!audience)
    exec.test.abort("IDENTITY_AUDIENCE is not set: it is the audience that the gateway's tokens must have.")
  const response = http.get(
    `http://${METADATA_HOST}${IDENTITY_PATH}?audience=${encodeURIComponent(audience)}&format=full`,
    {
      headers: { "Metadata-Flavor": "Google" },
      tags: { name: "metadata: token" }
    }
  )
  if (response.status !== 200) {
    exec.test.abort(
      `The metadata server ${METADATA_HOST} gave no token (status ${response.status}, ${response.error || response.body}): ` +
        "without one the gateway refuses everything. Is GCE_METADATA_HOST right, and has this pod a service account?"
    )
  }
  return response.body.trim()
}

export const requestParams = (token, name, timeout = "30s") => ({
  headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
  tags: { name },
  timeout
})

export const startBody = (runId, message) => JSON.stringify({ runId, message })

export const uniqueId = (prefix) =>
  `${prefix}-${Date.now().toString(36)}-${Math.floor(Math.random() * 2 ** 40).toString(36)}`

/** The `code` of a problem document, or what else there is to say about an answer. */
export const why = (response) => {
  if (response.error) return `${response.status} ${response.error}`
  try {
    const { code, detail } = response.json()
    return `${response.status} ${code}: ${detail}`
  } catch {
    return `${response.status} ${String(response.body).slice(0, 200)}`
  }
}

/**
 * A session's events over WebSocket, from `after` on. `onEvent` sees each event; the socket ends by `close()`, or by
 * itself, and then `ended` resolves with `{ opened, code, error }`: whether it was ever open, and why it ended.
 */
export const follow = (sessionId, token, after, onEvent, onOther = () => {}) => {
  const url = `${GATEWAY_URL.replace(/^http/, "ws")}/ws/${sessionId}?lastEventId=${after}`
  const socket = new WebSocket(url, null, {
    headers: { authorization: `Bearer ${token}` },
    tags: { name: "websocket" }
  })
  let opened = false
  let error = ""
  const ended = new Promise((resolve) => {
    socket.onopen = () => {
      opened = true
    }
    socket.onmessage = ({ data }) => {
      const message = JSON.parse(data)
      if (message.type === "event") onEvent(message.event)
      else onOther(message)
    }
    socket.onerror = (event) => {
      error = event?.error || "error"
      if (!opened) resolve({ opened, code: 0, error })
    }
    socket.onclose = (event) => resolve({ opened, code: event?.code || 0, error })
  })
  return {
    ended,
    send: (message) => socket.send(JSON.stringify(message)),
    close: () => socket.close()
  }
}

export const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds))

/** Waits for a promise, at most so long. A timer left behind would hold the iteration open to its end. */
export const within = (milliseconds, promise, fallback) => {
  let timer
  const late = new Promise((resolve) => {
    timer = setTimeout(() => resolve(fallback), milliseconds)
  })
  return Promise.race([promise, late]).then((result) => {
    clearTimeout(timer)
    return result
  })
}
