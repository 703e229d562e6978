const linked = (id: string) => ({ id, selfLink: `https://www.googleapis.com/compute/v1/${id}` })

/** What Google would answer: computed fields that other resources take. */
export const computed = (type: string, name: string, inputs: Record<string, unknown>): Record<string, unknown> => {
  const project = String(inputs["project"])
  const path = (kind: string) => `projects/${project}/${kind}/${inputs["name"]}`
  switch (type) {
    case "gcp:serviceaccount/account:Account": {
      const email = `${inputs["accountId"]}@${project}.iam.gserviceaccount.com`
      return { email, member: `serviceAccount:${email}`, name: `projects/${project}/serviceAccounts/${email}` }
    }
    case "gcp:projects/serviceIdentity:ServiceIdentity": {
      const email = `service-100000000000@gcp-sa-${String(inputs["service"]).split(".")[0]}.iam.gserviceaccount.com`
      return { email, member: `serviceAccount:${email}` }
    }
    case "gcp:projects/iAMCustomRole:IAMCustomRole":
      return { name: `projects/${project}/roles/${inputs["roleId"]}` }
    case "gcp:container/cluster:Cluster":
      return { controlPlaneEndpointsConfig: { dnsEndpointConfig: { endpoint: "gke-test.us-central1.gke.goog" } } }
    case "gcp:sql/databaseInstance:DatabaseInstance":
      return {
        privateIpAddress: "10.50.0.3",
        connectionName: `${project}:${inputs["region"]}:${inputs["name"]}`
      }
    case "gcp:kms/keyRing:KeyRing":
      return { id: `projects/${project}/locations/${inputs["location"]}/keyRings/${inputs["name"]}` }
    case "gcp:kms/cryptoKey:CryptoKey":
      return { id: `${inputs["keyRing"]}/cryptoKeys/${inputs["name"]}` }
    case "gcp:kms/cryptoKeyVersion:CryptoKeyVersion":
      return { name: `${inputs["cryptoKey"]}/cryptoKeyVersions/1` }
    case "gcp:bigquery/connection:Connection":
      return {
        cloudSql: {
          ...(inputs["cloudSql"] as object),
          serviceAccountId: "service-100000000000@gcp-sa-bigqueryconnection.iam.gserviceaccount.com"
        }
      }
    case "gcp:cloudbuild/trigger:Trigger":
      return { triggerId: `${name}-id` }
    case "gcp:compute/network:Network":
      return linked(path("global/networks"))
    case "gcp:compute/securityPolicy:SecurityPolicy":
      return linked(path("global/securityPolicies"))
    case "gcp:compute/uRLMap:URLMap":
      return linked(path("global/urlMaps"))
    case "gcp:compute/backendService:BackendService":
      return linked(path("global/backendServices"))
    case "gcp:compute/sSLPolicy:SSLPolicy":
      return linked(path("global/sslPolicies"))
    case "gcp:compute/targetHttpsProxy:TargetHttpsProxy":
      return linked(path("global/targetHttpsProxies"))
    case "gcp:compute/targetHttpProxy:TargetHttpProxy":
      return linked(path("global/targetHttpProxies"))
    case "gcp:compute/globalAddress:GlobalAddress":
      return { ...linked(path("global/addresses")), address: "203.0.113.10" }
    case "gcp:compute/subnetwork:Subnetwork":
      return linked(path(`regions/${inputs["region"]}/subnetworks`))
    case "gcp:compute/address:Address":
      return linked(path(`regions/${inputs["region"]}/addresses`))
    case "gcp:compute/regionNetworkEndpointGroup:RegionNetworkEndpointGroup":
      return linked(path(`regions/${inputs["region"]}/networkEndpointGroups`))
    case "gcp:monitoring/slo:Slo":
      return { name: `projects/${project}/services/${inputs["service"]}/serviceLevelObjectives/${inputs["sloId"]}` }
    case "gcp:monitoring/alertPolicy:AlertPolicy":
    case "gcp:monitoring/notificationChannel:NotificationChannel":
      return { name: `projects/${project}/${name}` }
    default:
      return {}
  }
}
