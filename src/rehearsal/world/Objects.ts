/** What the cloud gives and a bare cluster has not: a Postgres, and an issuer of identities. Plain objects, made anew for each run. */
import type { KubeObject } from "../drivers/Driver.ts"

export const POSTGRES_PORT = 5432
export const ISSUER_PORT = 8080
const DATA = "/data/postgres"

const service = (name: string, port: number): KubeObject => ({
  apiVersion: "v1",
  kind: "Service",
  metadata: { name },
  spec: { selector: { app: name }, ports: [{ name, port, targetPort: port }] }
})

const deployment = (name: string, pod: Readonly<Record<string, unknown>>): KubeObject => ({
  apiVersion: "apps/v1",
  kind: "Deployment",
  metadata: { name },
  spec: {
    replicas: 1,
    strategy: { type: "Recreate" },
    selector: { matchLabels: { app: name } },
    // Nothing of theirs outlives the rehearsal, so there is nothing to end in peace.
    template: { metadata: { labels: { app: name } }, spec: { ...pod, terminationGracePeriodSeconds: 1 } }
  }
})

const locked = { allowPrivilegeEscalation: false, capabilities: { drop: ["ALL"] } }

/** `image` is PostgresImage's. Its data lives as long as its pod: a rehearsal's databases are its own. */
export const postgres = (image: string, password: string): ReadonlyArray<KubeObject> => [
  { apiVersion: "v1", kind: "Secret", metadata: { name: "postgres" }, type: "Opaque", stringData: { password } },
  service("postgres", POSTGRES_PORT),
  deployment("postgres", {
    securityContext: { runAsNonRoot: true, runAsUser: 65534, runAsGroup: 65534, fsGroup: 65534 },
    containers: [
      {
        name: "postgres",
        image,
        command: ["sh", "/start.sh", "-c", "max_connections=400", "-c", "shared_buffers=256MB"],
        env: [
          { name: "POSTGRES_PASSWORD", valueFrom: { secretKeyRef: { name: "postgres", key: "password" } } },
          { name: "PGDATA", value: DATA }
        ],
        ports: [{ name: "postgres", containerPort: POSTGRES_PORT }],
        readinessProbe: {
          // What `pg_ctl --wait` looks for: the port opens a little before connections are taken.
          exec: { command: ["grep", "-q", "^ready", `${DATA}/postmaster.pid`] },
          periodSeconds: 1,
          timeoutSeconds: 5
        },
        resources: { requests: { cpu: "100m", memory: "384Mi" }, limits: { memory: "1Gi" } },
        securityContext: locked,
        volumeMounts: [{ name: "data", mountPath: "/data" }]
      }
    ],
    volumes: [{ name: "data", emptyDir: {} }]
  })
]

/** `image` has Node; `program` is the whole issuer as one module. Its keys are made at its start and leave it never. */
export const issuer = (image: string, program: string, url: string): ReadonlyArray<KubeObject> => [
  { apiVersion: "v1", kind: "ConfigMap", metadata: { name: "issuer" }, data: { "issuer.mjs": program } },
  service("issuer", ISSUER_PORT),
  deployment("issuer", {
    securityContext: { runAsNonRoot: true, runAsUser: 65532, runAsGroup: 65532 },
    containers: [
      {
        name: "issuer",
        image,
        command: ["/nodejs/bin/node", "/issuer/issuer.mjs"],
        env: [
          { name: "IDENTITY_ISSUER", value: url },
          { name: "HTTP_PORT", value: String(ISSUER_PORT) }
        ],
        ports: [{ name: "issuer", containerPort: ISSUER_PORT }],
        readinessProbe: { httpGet: { path: "/jwks", port: ISSUER_PORT }, periodSeconds: 1 },
        resources: { requests: { cpu: "50m", memory: "96Mi" }, limits: { memory: "256Mi" } },
        securityContext: { ...locked, readOnlyRootFilesystem: true },
        volumeMounts: [{ name: "program", mountPath: "/issuer", readOnly: true }]
      }
    ],
    volumes: [{ name: "program", configMap: { name: "issuer" } }]
  })
]
