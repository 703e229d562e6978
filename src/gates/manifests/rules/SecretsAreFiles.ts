import type { Finding } from "../../Evidence.ts"
import { allWorkloads, overlays, type Rule } from "../Rule.ts"

const SECRET_NAME = /(PASSWORD|PASSWD|SECRET|TOKEN|API_?KEY|PRIVATE_?KEY|CREDENTIALS?)/
/** `DATABASE_SECRET_DIR` says where a secret is, not what it is. */
const PLACE = /(_DIR|_FILE|_PATH|_URL|_HOST)$/
const CREDENTIALS_IN_URL = /:\/\/[^/\s:@]+:[^/\s@]+@/

/** Secrets come as mounted files: never written into a manifest, and read again when they change. */
export const secretsAreFiles: Rule = {
  name: "secrets-are-files",
  covers: (set) => `${overlays(set).length} overlays, ${set.jobs.length} Job templates`,
  check: (set) => {
    const findings: Array<Finding> = []
    for (const {
      where,
      workload: { id, pod }
    } of allWorkloads(set)) {
      for (const container of [...pod.initContainers, ...pod.containers]) {
        for (const variable of container.env) {
          const literal =
            variable.value !== undefined &&
            ((SECRET_NAME.test(variable.name) && !PLACE.test(variable.name)) || CREDENTIALS_IN_URL.test(variable.value))
          if (!literal && variable.valueFrom?.secretKeyRef === undefined) continue
          findings.push({
            rule: "secrets-are-files",
            severity: "hazard",
            // Never the value: this text ends in logs and in the database.
            what: literal
              ? `${variable.name} of ${id} is a secret written into the manifest.`
              : `${variable.name} of ${id} takes a secret into the environment.`,
            where: `${where}: ${id} container ${container.name}, env ${variable.name}`,
            why: literal
              ? "Manifests are kept in git, in the release's render and in the cluster: everybody who may read one of them has it."
              : "The environment is read once: a rotated secret would need a restart, and it shows in crash dumps.",
            fix: "Mount the Secret as a volume and give its folder (DATABASE_SECRET_DIR)."
          })
        }
        if (container.envFrom.some(({ secretRef }) => secretRef !== undefined)) {
          findings.push({
            rule: "secrets-are-files",
            severity: "hazard",
            what: `Container ${container.name} of ${id} takes a whole Secret into its environment.`,
            where: `${where}: ${id} container ${container.name}, envFrom`,
            why: "The environment is read once: a rotated secret would need a restart, and it shows in crash dumps.",
            fix: "Mount the Secret as a volume."
          })
        }
      }
    }
    return findings
  }
}
