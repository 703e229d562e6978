/** Requests that the rehearsal's server must refuse, one by one, and what a generator makes more of them from. */
import { PARENT, PIPELINE } from "../support/rehearsal-server.ts"

export interface Attack {
  readonly what: string
  readonly method?: string
  readonly path: string
  readonly body?: string | Buffer
  readonly headers?: Readonly<Record<string, string>>
}

const deep = `{"description":${"[".repeat(50_000)}${"]".repeat(50_000)}}`
const target = `/v1/${PARENT}/targets/dev?updateMask=*`

const automation = `/v1/${PIPELINE}/automations/x?allowMissing=true&updateMask=*`
const SOURCE = '{"skaffoldConfigUri":"gs://sources/1.tgz"}'

const timed = (change: object) =>
  JSON.stringify({
    serviceAccount: "a@p.iam.gserviceaccount.com",
    selector: { targets: [{ id: "dev" }] },
    rules: [{ timedPromoteReleaseRule: { id: "t", schedule: "0 9 * * 1", timeZone: "Europe/Berlin", ...change } }]
  })
const rollback = (change: object) => JSON.stringify({ targetId: "dev", rolloutId: "x", releaseId: "r-1", ...change })

export const attacks: ReadonlyArray<Attack> = [
  { what: "no JSON", method: "PATCH", path: target, body: "{" },
  { what: "no UTF-8", method: "PATCH", path: target, body: Buffer.from([0x7b, 0xff, 0xfe, 0x7d]) },
  { what: "a list", method: "PATCH", path: target, body: "[]" },
  { what: "a text", method: "PATCH", path: target, body: '"x"' },
  { what: "a wrong type", method: "PATCH", path: target, body: '{"requireApproval":"yes"}' },
  { what: "a wrong type below", method: "PATCH", path: target, body: '{"gke":[1]}' },
  { what: "an unknown field", method: "PATCH", path: target, body: '{"requireAproval":true}' },
  { what: "an unknown enum value", method: "PATCH", path: target, body: '{"executionConfigs":[{"usages":["DPLOY"]}]}' },
  { what: "a prototype", method: "PATCH", path: target, body: '{"__proto__":{"requireApproval":true}}' },
  { what: "endless nesting", method: "PATCH", path: target, body: deep },
  { what: "a huge body", method: "PATCH", path: target, body: `{"description":"${"x".repeat(5 * 1024 * 1024)}"}` },
  { what: "a stale etag", method: "PATCH", path: target, body: '{"etag":"stale"}' },
  { what: "dots in the path", path: `/v1/${PARENT}/targets/../../x` },
  { what: "encoded dots", path: `/v1/${PARENT}/targets/%2e%2e/%2e%2e` },
  { what: "encoded slashes and dots", path: "/v1/projects/p%2f..%2f..%2fetc%2fpasswd" },
  { what: "bad encoding", path: "/v1/projects/%zz/locations/l/targets" },
  { what: "a zero byte", path: "/v1/projects/p%00/locations/l/targets" },
  { what: "empty segments", path: "/v1//projects/p/locations/l/targets" },
  { what: "an unknown collection", path: `/v1/${PARENT}/secrets` },
  { what: "a collection named like a method of objects", path: `/v1/${PARENT}/constructor` },
  { what: "an unknown method", method: "POST", path: `/v1/${PIPELINE}:explode`, body: "{}" },
  { what: "a bad id", method: "POST", path: `/v1/${PARENT}/targets?targetId=../../etc`, body: "{}" },
  { what: "a bad filter", path: `/v1/${PARENT}/targets?filter=((((` },
  { what: "a bad page token", path: `/v1/${PARENT}/targets?pageToken=!!!!` },
  { what: "a negative page", path: `/v1/${PARENT}/targets?pageSize=-1` },
  {
    what: "a rollout to nowhere",
    method: "POST",
    path: `/v1/${PIPELINE}/releases/r-1/rollouts?rolloutId=x`,
    body: '{"targetId":"moon"}'
  },
  { what: "a release without source", method: "POST", path: `/v1/${PIPELINE}/releases?releaseId=r-9`, body: "{}" },
  {
    what: "a source elsewhere",
    method: "POST",
    path: `/v1/${PIPELINE}/releases?releaseId=r-9`,
    body: '{"skaffoldConfigUri":"file:///etc/passwd"}'
  },
  {
    what: "a bucket of dots",
    method: "POST",
    path: "/upload/storage/v1/b/..%2f..%2fx/o?uploadType=media&name=a",
    body: "x"
  },
  {
    what: "an upload without parts",
    method: "POST",
    path: "/upload/storage/v1/b/sources/o?uploadType=multipart",
    body: "x"
  },
  { what: "deleting with a stale etag", method: "DELETE", path: `/v1/${PARENT}/targets/dev?etag=stale` },
  { what: "deleting a pipeline with releases", method: "DELETE", path: `/v1/${PIPELINE}` },
  { what: "a foreign Origin", path: target, method: "PATCH", body: "{}", headers: { origin: "https://example.com" } },
  { what: "Origin null", path: target, method: "PATCH", body: "{}", headers: { origin: "null" } },
  { what: "a foreign Host", path: `/v1/${PARENT}/targets`, headers: { host: "rebind.example.com" } },
  { what: "no token", path: `/v1/${PARENT}/targets`, headers: { authorization: "" } },
  { what: "another token", path: `/v1/${PARENT}/targets`, headers: { authorization: "Bearer x" } },
  { what: "the token in a query of the API", path: `/v1/${PARENT}/targets?token=x`, headers: { authorization: "" } },
  { what: "the console's state without a session", path: "/console/state", headers: { authorization: "" } },
  { what: "the console's events without a session", path: "/console/events", headers: { authorization: "" } },
  { what: "the API's token as a session", path: "/console/state?token=x", headers: { authorization: "" } },
  { what: "a login with another token", path: "/console/login?token=x", headers: { authorization: "" } },
  { what: "a login by a foreign Host", path: "/console/login", headers: { host: "rebind.example.com" } },
  { what: "the page for a foreign Host", path: "/console/", headers: { host: "rebind.example.com" } },
  { what: "a file beside the page", path: "/console/main.tsx" },
  { what: "evidence of no rollout", path: "/console/evidence?rollout=x'%20or%20true" },
  { what: "a log of no run", path: "/console/log?jobRun=x" },
  { what: "nowhere", path: "/etc/passwd" },
  // Names that lead elsewhere.
  {
    what: "a target of any location",
    method: "PATCH",
    path: "/v1/projects/-/locations/-/targets/x?allowMissing=true",
    body: "{}"
  },
  {
    what: "a target in a place that is no location",
    method: "PATCH",
    path: "/v1/projects/p/secrets/l/targets/x?allowMissing=true",
    body: "{}"
  },
  {
    what: "a release of a target",
    method: "POST",
    path: `/v1/${PARENT}/targets/dev/releases?releaseId=r-9`,
    body: SOURCE
  },
  { what: "a change of a release", method: "PATCH", path: `/v1/${PIPELINE}/releases/r-1?updateMask=*`, body: "{}" },
  {
    what: "a rollback under a name with dots",
    method: "POST",
    path: `/v1/${PIPELINE}:rollbackTarget`,
    body: rollback({ rolloutId: "../../x" })
  },
  {
    what: "a rollback to a release that is none",
    method: "POST",
    path: `/v1/${PIPELINE}:rollbackTarget`,
    body: rollback({ releaseId: "r-none" })
  },
  {
    what: "a mask of no field",
    method: "PATCH",
    path: `/v1/${PARENT}/targets/dev?updateMask=requireAproval`,
    body: '{"requireApproval":true}'
  },
  {
    what: "a mask into a map",
    method: "PATCH",
    path: `/v1/${PARENT}/targets/dev?updateMask=labels.team`,
    body: '{"labels":{"team":"x"}}'
  },
  { what: "a page of letters", path: `/v1/${PARENT}/targets?pageSize=many` },
  // Texts that the database can't keep.
  { what: "a zero byte in a text", method: "PATCH", path: target, body: '{"description":"a\\u0000b"}' },
  { what: "a zero byte in a key", method: "PATCH", path: target, body: '{"labels":{"\\u0000":"b"}}' },
  { what: "half a character", method: "PATCH", path: target, body: '{"description":"\\ud83d"}' },
  { what: "a zero byte in a query", path: "/console/log?jobRun=%00" },
  { what: "evidence of a zero byte", path: "/console/evidence?rollout=a%00b" },
  // Promotions by the clock.
  {
    what: "a schedule of an unknown zone",
    method: "PATCH",
    path: automation,
    body: timed({ timeZone: "Europe/Berlim" })
  },
  { what: "a schedule without a zone", method: "PATCH", path: automation, body: timed({ timeZone: undefined }) },
  { what: "a zone by its offset", method: "PATCH", path: automation, body: timed({ timeZone: "UTC+25" }) },
  {
    what: "a schedule of words",
    method: "PATCH",
    path: automation,
    body: timed({ schedule: "every monday at nine oclock" })
  },
  { what: "a schedule with seconds", method: "PATCH", path: automation, body: timed({ schedule: "* * * * * *" }) },
  { what: "a schedule of no step", method: "PATCH", path: automation, body: timed({ schedule: "*/0 * * * *" }) },
  { what: "a schedule that never comes", method: "PATCH", path: automation, body: timed({ schedule: "0 9 30 2 *" }) },
  { what: "a schedule that is a number", method: "PATCH", path: automation, body: timed({ schedule: 9 }) },
  {
    what: "an endless schedule",
    method: "PATCH",
    path: automation,
    body: timed({ schedule: `${"0,".repeat(100_000)}0 * * * *` })
  },
  {
    what: "rules that are no list",
    method: "PATCH",
    path: automation,
    body: '{"rules":{"timedPromoteReleaseRule":{}}}'
  },
  {
    what: "an automation of no pipeline",
    method: "PATCH",
    path: `/v1/${PARENT}/deliveryPipelines/none/automations/x?allowMissing=true`,
    body: timed({})
  },
  {
    what: "a policy of an unknown zone",
    method: "PATCH",
    path: `/v1/${PARENT}/deployPolicies/x?allowMissing=true&updateMask=*`,
    body: '{"rules":[{"rolloutRestriction":{"id":"a","timeWindows":{"timeZone":"Mars/Olympus","weeklyWindows":[{}]}}}]}'
  },
  {
    what: "a policy of a window without days",
    method: "PATCH",
    path: `/v1/${PARENT}/deployPolicies/x?allowMissing=true&updateMask=*`,
    body: '{"rules":[{"rolloutRestriction":{"id":"a","timeWindows":{"timeZone":"Etc/UTC","oneTimeWindows":[{"startTime":{"hours":1}}]}}}]}'
  },
  // Cloud Storage.
  { what: "a bucket without a name", method: "POST", path: "/storage/v1/b", body: "{}" },
  { what: "a bucket that is no object", method: "POST", path: "/storage/v1/b", body: "null" },
  { what: "a bucket whose name is a list", method: "POST", path: "/storage/v1/b", body: '{"name":["sources"]}' },
  { what: "a bucket of capitals", path: "/storage/v1/b/SOURCES" },
  { what: "buckets that begin with dots", path: "/storage/v1/b?prefix=../x" },
  {
    what: "an object without a name",
    method: "POST",
    path: "/upload/storage/v1/b/sources/o?uploadType=media",
    body: "x"
  },
  {
    what: "an object whose name has line ends",
    method: "POST",
    path: "/upload/storage/v1/b/sources/o?uploadType=media&name=a%0d%0ab",
    body: "x"
  },
  {
    what: "an object with too long a name",
    method: "POST",
    path: `/upload/storage/v1/b/sources/o?uploadType=media&name=${"%E2%82%AC".repeat(400)}`,
    body: "x"
  },
  {
    what: "an upload of nothing but boundaries",
    method: "POST",
    path: "/upload/storage/v1/b/sources/o?uploadType=multipart",
    headers: { "content-type": "multipart/related; boundary=a" },
    body: Buffer.alloc(8 * 1024 * 1024, "--a")
  },
  {
    what: "an upload whose description is null",
    method: "POST",
    path: "/upload/storage/v1/b/sources/o?uploadType=multipart",
    headers: { "content-type": "multipart/related; boundary=cut" },
    body: "--cut\r\n\r\nnull\r\n--cut\r\n\r\nx\r\n--cut--"
  },
  {
    what: "an upload that is too large",
    method: "POST",
    path: "/upload/storage/v1/b/sources/o?uploadType=media&name=a",
    body: Buffer.alloc(65 * 1024 * 1024)
  },
  { what: "an object that is not there", path: "/storage/v1/b/sources/o/none.tgz" },
  { what: "a copy of what is not there", method: "POST", path: "/storage/v1/b/sources/o/none/rewriteTo/b/sources/o/x" },
  { what: "a copy to a bucket of dots", method: "POST", path: "/storage/v1/b/sources/o/1.tgz/rewriteTo/b/..%5cx/o/x" },
  { what: "deleting an object", method: "DELETE", path: "/storage/v1/b/sources/o/1.tgz" },
  // The console.
  { what: "events by POST", method: "POST", path: "/console/events", body: "{}" },
  { what: "the console's state by POST", method: "POST", path: "/console/state", body: "{}" },
  { what: "events for a foreign Origin", path: "/console/events", headers: { origin: "https://example.com" } },
  { what: "events for a foreign Host", path: "/console/events", headers: { host: "rebind.example.com" } },
  { what: "a log without a run", path: "/console/log" },
  { what: "a log of a target", path: `/console/log?jobRun=${PARENT}/targets/none` },
  { what: "evidence of a path", path: "/console/evidence?rollout=../../../etc/passwd" },
  { what: "a forged session", path: "/console/state", headers: { authorization: "", cookie: "rehearsal-console=x" } },
  { what: "a map of the page's source", path: "/console/main.js.map" }
]
