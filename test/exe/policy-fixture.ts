/**
 * @module For the tests of `cilium policy`: the built executable, or what CILIUM_EXE says, in a folder of
 * its own, and the documents that most of them are about.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

export const command = (process.env.CILIUM_EXE ?? join(import.meta.dir, '../../dist/cilium')).split(
  ' ',
);

/** Where the command is called; removed when disposed of. */
export class PolicyFolder implements Disposable {
  readonly path = mkdtempSync('/tmp/cilium-test-policy-');

  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true });
  }

  run(args: readonly string[], stdin = '', environment: Record<string, string> = {}) {
    const child = Bun.spawnSync([...command, 'policy', ...args], {
      cwd: this.path,
      stdin: Buffer.from(stdin),
      env: { ...process.env, ...environment },
    });
    return {
      code: child.exitCode,
      stdout: child.stdout.toString(),
      stderr: child.stderr.toString(),
    };
  }

  write(name: string, ...documents: object[]): void {
    this.writeText(name, documents.map((one) => JSON.stringify(one)).join('\n---\n'));
  }

  writeText(name: string, text: string): void {
    writeFileSync(join(this.path, name), text);
  }
}

export function ciliumPolicy(name: string, spec: object) {
  return {
    apiVersion: 'cilium.io/v2',
    kind: 'CiliumNetworkPolicy',
    metadata: { name, namespace: 'default' },
    spec,
  };
}

export const allowsFrontend = ciliumPolicy('backend-allows-frontend', {
  endpointSelector: { matchLabels: { app: 'backend' } },
  ingress: [
    {
      fromEndpoints: [{ matchLabels: { app: 'frontend' } }],
      toPorts: [{ ports: [{ port: '8080', protocol: 'TCP' }] }],
    },
  ],
});
export const denyAll = ciliumPolicy('deny-all', {
  endpointSelector: { matchLabels: { app: 'backend' } },
  ingress: [],
});

/** A pod with a port named http. */
export function podObject(name: string, addresses: readonly string[], namespace = 'default') {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace, labels: { app: name } },
    spec: { containers: [{ name: 'main', ports: [{ name: 'http', containerPort: 8080 }] }] },
    status: { podIP: addresses[0], podIPs: addresses.map((ip) => ({ ip })) },
  };
}

export const threePods = [
  podObject('frontend', ['10.0.1.1', 'fd00::1']),
  podObject('backend', ['10.0.1.2', 'fd00::2']),
  podObject('intruder', ['10.0.1.3']),
];
