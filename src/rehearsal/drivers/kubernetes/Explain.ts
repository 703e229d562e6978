/** The API server's refusals in the words of a person who has to do something about them. Pure. */
import { DriverFailed, type KubeObject, ManifestRefused } from "../Driver.ts"
import type { ApiError } from "./Api.ts"

/** What Kubernetes lets change in place; every other field of the spec is fixed when the object is made. */
const CHANGEABLE: Readonly<Record<string, string>> = {
  StatefulSet:
    "Of a StatefulSet only replicas, template, updateStrategy, ordinals, minReadySeconds, revisionHistoryLimit and persistentVolumeClaimRetentionPolicy can change. To change another field without stopping a pod: kubectl delete statefulset NAME --cascade=orphan, then deploy again; the new StatefulSet takes the pods over and rolls them.",
  Deployment:
    "A Deployment's selector is fixed. Deploy it under another name beside the old one, then remove the old one.",
  Job: "A Job's template is fixed. Run it as a custom action of skaffold.yaml, which makes a new Job each time.",
  Service: "A Service's clusterIP is fixed. Remove the Service and deploy again; its address changes."
}

const immutable = (message: string) =>
  /field is immutable|updates to statefulset spec for fields other than|may not change once set/.test(message)

/** `Apply failed with 1 conflict: conflict with "kubectl-edit" using apps/v1: .spec.replicas` */
const ownersOf = (error: ApiError): ReadonlyArray<string> => {
  const causes = error.causes.map(({ message }) => /"([^"]+)"/.exec(message ?? "")?.[1])
  return [...new Set(causes.filter((owner) => owner !== undefined))]
}

const fieldOf = (error: ApiError): string => error.causes.find(({ field }) => field !== undefined)?.field ?? ""

export const explain = (object: KubeObject, error: ApiError, context: string): ManifestRefused | DriverFailed => {
  const name = `${object.kind}/${object.metadata.name}`
  if (error.status === 0) {
    return new DriverFailed({
      message: `The cluster of context "${context}" does not answer: ${error.message}. Nothing is known about ${name}; try again when "kubectl --context ${context} get --raw /readyz" says ok.`
    })
  }
  const refused = (field: string, message: string) =>
    new ManifestRefused({ object: name, field, message: `${name}: ${message}` })
  if (error.status === 409 && error.reason === "Conflict" && error.causes.length > 0) {
    const owners = ownersOf(error).join(", ")
    return refused(
      fieldOf(error),
      `${fieldOf(error)} belongs to ${owners || "another field manager"}: somebody else set it, and applying this would take it from them. Leave the field out of the manifest (a HorizontalPodAutoscaler owns replicas), or undo the change that was made by hand. The API server said: ${error.message}`
    )
  }
  if (error.status === 422 && immutable(error.message)) {
    return refused(
      fieldOf(error) || "spec",
      `the change touches a field that can't be changed in place. ${CHANGEABLE[object.kind] ?? "Remove the object and deploy again."} The API server said: ${error.message}`
    )
  }
  if (error.status === 403 && error.reason === "Forbidden") {
    return refused("", `the cluster does not allow it: ${error.message}`)
  }
  return refused(fieldOf(error), error.message)
}
