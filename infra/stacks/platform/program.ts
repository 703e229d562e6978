/** One environment: cluster, database, who its processes are, and the ways in. Workloads are Cloud Deploy's. */
import { join } from "node:path"
import * as k8s from "@pulumi/kubernetes"
import type * as pulumi from "@pulumi/pulumi"
import { Analytics } from "../../components/Analytics.ts"
import { Armor } from "../../components/Armor.ts"
import { Certificates } from "../../components/Certificates.ts"
import { Cluster } from "../../components/Cluster.ts"
import { Database } from "../../components/Database.ts"
import { Edge } from "../../components/Edge.ts"
import { GatewayDoors } from "../../components/GatewayDoors.ts"
import { Identities } from "../../components/Identities.ts"
import { Namespace } from "../../components/Namespace.ts"
import { Secrets } from "../../components/Secrets.ts"
import * as contracts from "../../contracts.ts"
import { repository } from "../../delivery.ts"
import * as names from "../../names.ts"
import { readEnvironment } from "../../settings.ts"

export const program = (environment: string): Record<string, pulumi.Output<string>> => {
  const settings = readEnvironment(environment)
  const foundation = contracts.read(contracts.foundation, environment)
  const { deployer } = contracts.read(contracts.delivery, environment)
  const { protect, edge } = settings
  const drills = Object.keys(settings.drills).length > 0

  const cluster = new Cluster(environment, {
    environment,
    network: foundation.network,
    subnet: foundation.subnet,
    key: foundation.clusterKey,
    deployer,
    protect
  })
  const database = new Database(environment, {
    environment,
    settings,
    network: foundation.network,
    peering: foundation.peering,
    key: foundation.databaseKey,
    replicaKey: foundation.replicaKey
  })
  const analytics = new Analytics(environment, { environment, database })
  const identities = new Identities(environment, { environment, pool: cluster.cluster })
  const secrets = new Secrets(environment, { environment, runtime: identities.emails.get("agent-runtime")! })
  const armor = new Armor(environment, { environment })
  const certificates = new Certificates(environment, {
    environment,
    hosts: { api: edge.apiHost, sockets: edge.socketHost }
  })
  const way = new Edge(environment, {
    environment,
    settings,
    network: foundation.network,
    subnet: foundation.edgeSubnet,
    armor: armor.selfLink,
    certificateMap: certificates.reference
  })
  const provider = new k8s.Provider(`${environment}-provider`, { kubeconfig: cluster.kubeconfig })
  const namespace = new Namespace(environment, {
    environment,
    settings,
    provider,
    database,
    identities,
    deployer,
    edge: way.account,
    driller: drills ? contracts.read(contracts.deliveryShared, names.shared).driller : undefined,
    modelKey: secrets.modelKey,
    folder: join(repository, "k8s", "platform")
  })
  new GatewayDoors(
    environment,
    {
      environment,
      provider,
      subnet: foundation.subnet,
      socketHost: edge.socketHost,
      certificateMap: certificates.reference,
      armorPolicy: armor.policyName,
      enterprise: settings.enterprise
    },
    { dependsOn: [...namespace.namespaces] }
  )
  return contracts.publish(contracts.platform, {
    cluster: names.clusterPath(environment),
    instance: database.instance,
    connection: database.connection,
    analytics: analytics.connection,
    apiHost: edge.apiHost,
    socketHost: edge.socketHost
  })
}
