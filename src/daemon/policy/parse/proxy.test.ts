import { describe, expect, test } from 'bun:test';
import {
  at,
  ccnp,
  cnp,
  denied,
  egress,
  ingress,
  later,
  problemsOf,
  testRefused,
  textsOf,
  to,
  toPorts,
} from './case-fixture.ts';

const rules = (fields: object, entry: object = {}) => egress(toPorts({ rules: fields, ...entry }));
const rulesAt = `${to}.toPorts[0].rules`;
const http = (fields: object) => rules({ http: [fields] });

const wholePorts =
  'is possible in ingress and egress only; a deny rule denies whole ports: allow there what may pass';

describe('refused', () => {
  testRefused([
    [rules({ htp: [] }), `${rulesAt}.htp: unknown field (did you mean http?)`],
    [rules({ http: [], kafka: [] }), `${rulesAt}: has http and kafka; one kind is possible`],
    [rules({ l7: [] }), `${rulesAt}.l7: needs l7proto`],
    [rules({ l7proto: '' }), `${rulesAt}.l7proto: must not be empty`],
    [rules({ l7proto: 'x', l7: [{ a: 1 }] }), `${rulesAt}.l7[0]["a"]: must be a string: "1"`],
    [http({ path: '(' }), `${rulesAt}.http[0].path: not a regular expression: "("`],
    [http({ method: 1 }), `${rulesAt}.http[0].method: must be a string: "1"`],
    [http({ headers: [''] }), `${rulesAt}.http[0].headers[0]: must not be empty`],
    [http({ headerMatches: [{}] }), `${rulesAt}.http[0].headerMatches[0].name: is missing`],
    [
      http({ headerMatches: [{ name: 'a', mismatch: 'DROP' }] }),
      `${rulesAt}.http[0].headerMatches[0].mismatch: must be one of LOG, ADD, DELETE, REPLACE, is "DROP"`,
    ],
    [
      http({ headerMatches: [{ name: 'a', secret: {} }] }),
      `${rulesAt}.http[0].headerMatches[0].secret.name: is missing`,
    ],
    [
      rules({ kafka: [{ role: 'both' }] }),
      `${rulesAt}.kafka[0].role: must be one of produce, consume, is "both"`,
    ],
    [
      rules({ kafka: [{ topic: 'a'.repeat(256) }] }),
      `${rulesAt}.kafka[0].topic: has more than 255 characters`,
    ],
    [
      rules({ kafka: [{ role: 'produce', apiKey: 'x' }] }),
      `${rulesAt}.kafka[0].role: cannot stand together with apiKey`,
    ],
    [rules({ dns: [{ matchName: '*' }] }), `${rulesAt}.dns[0].matchName: not a DNS name: "*"`],
    [
      ingress(toPorts({ rules: { dns: [] } })),
      `${at}.toPorts[0].rules.dns: is possible in egress only`,
    ],
    [
      rules({ http: [] }, { ports: [{ port: '0', protocol: 'TCP' }] }),
      `${rulesAt}.http: needs ports by number or name, not port 0`,
    ],
    [
      rules({ http: [] }, { ports: [{ port: '80' }] }),
      `${rulesAt}.http: needs ports of protocol TCP`,
    ],
    [
      ccnp({ nodeSelector: {}, egress: [toPorts({ rules: { http: [] } })] }),
      'foo: spec.egress[0].toPorts[0].rules.http: nodes can have rules of layer 7 for DNS in egress only',
    ],
    [egress(toPorts({ serverNames: [] })), `${to}.toPorts[0].serverNames: must have at least one`],
    [
      egress(toPorts({ serverNames: ['a', ''] })),
      `${to}.toPorts[0].serverNames[1]: not a server name: ""`,
    ],
    [
      egress(toPorts({ serverNames: ['a.*'] })),
      `${to}.toPorts[0].serverNames[0]: not a server name: "a.*"`,
    ],
    [egress(toPorts({ terminatingTLS: {} })), `${to}.toPorts[0].terminatingTLS.secret: is missing`],
    [
      egress(toPorts({ originatingTLS: { secret: {} } })),
      `${to}.toPorts[0].originatingTLS.secret.name: is missing`,
    ],
    [
      egress(toPorts({ listener: { name: 'a' } })),
      `${to}.toPorts[0].listener.envoyConfig: is missing`,
    ],
    [
      egress(toPorts({ listener: { name: '', envoyConfig: { name: 'a' } } })),
      `${to}.toPorts[0].listener.name: must not be empty`,
    ],
    [
      egress(toPorts({ listener: { name: 'a', envoyConfig: { name: 'a', kind: 'x' } } })),
      `${to}.toPorts[0].listener.envoyConfig.kind: must be one of CiliumEnvoyConfig, CiliumClusterwideEnvoyConfig, is "x"`,
    ],
    [
      egress(toPorts({ listener: { name: 'a', envoyConfig: { name: 'a' }, priority: 101 } })),
      `${to}.toPorts[0].listener.priority: must be a number from 1 to 100, is 101`,
    ],
    [ingress({ authentication: {} }), `${at}.authentication.mode: is missing`],
    [
      ingress({ authentication: { mode: 'always' } }),
      `${at}.authentication.mode: must be one of disabled, required, test-always-fail, is "always"`,
    ],
    [
      denied({ authentication: { mode: 'disabled' } }),
      'ns/foo: spec.ingressDeny[0].authentication: is possible in ingress and egress only; a deny rule needs none',
    ],
    [
      cnp({ egressDeny: [toPorts({ rules: { http: [{ method: 'GET' }] } })] }),
      `ns/foo: spec.egressDeny[0].toPorts[0].rules: ${wholePorts}`,
    ],
    [denied(toPorts({ rules: {} })), `ns/foo: spec.ingressDeny[0].toPorts[0].rules: ${wholePorts}`],
    [
      denied(toPorts({ serverNames: [] })),
      `ns/foo: spec.ingressDeny[0].toPorts[0].serverNames: ${wholePorts}`,
    ],
    [
      denied(toPorts({ terminatingTLS: {} })),
      `ns/foo: spec.ingressDeny[0].toPorts[0].terminatingTLS: ${wholePorts}`,
    ],
  ]);
});

describe('clusterwide policies', () => {
  const secretless = ccnp({
    endpointSelector: {},
    egress: [toPorts({ terminatingTLS: { secret: { name: 'a' } } })],
  });
  testRefused([
    [
      secretless,
      'foo: spec.egress[0].toPorts[0].terminatingTLS.secret.namespace: is missing; a clusterwide policy has none of its own',
    ],
  ]);
});

describe('valid but not carried out', () => {
  testRefused(
    [
      [
        ingress({ authentication: { mode: 'required' } }),
        `${at}.authentication.mode: valid, but authentication required is not carried out yet: the whole policy is refused`,
      ],
      [
        ingress({ authentication: { mode: 'test-always-fail' } }),
        `${at}.authentication.mode: valid, but authentication test-always-fail is not carried out yet: the whole policy is refused`,
      ],
      [
        http({
          path: '/a.*',
          method: 'GET',
          host: 'b',
          headers: ['X: y'],
          headerMatches: [
            { name: 'a', value: 'b', mismatch: 'LOG', secret: { name: 's', namespace: 'n' } },
          ],
        }),
        `${rulesAt}: valid, but rules of layer 7 ${later}`,
      ],
      [http({ path: '(?i)/a' }), `${rulesAt}: valid, but rules of layer 7 ${later}`],
      [
        rules({ kafka: [{ role: 'produce', topic: 'a', clientID: 'x', apiVersion: '1' }] }),
        `${rulesAt}: valid, but rules of layer 7 ${later}`,
      ],
      [
        rules({ dns: [{ matchPattern: '*' }] }, { ports: [{ port: '53' }] }),
        `${rulesAt}: valid, but rules of layer 7 ${later}`,
      ],
      [
        rules({ l7proto: 'r2d2', l7: [{ cmd: 'READ' }] }),
        `${rulesAt}: valid, but rules of layer 7 ${later}`,
      ],
      [
        egress(toPorts({ serverNames: ['a.b', '*.c', '**.d'] })),
        `${to}.toPorts[0].serverNames: valid, but rules for server names ${later}`,
      ],
      [
        egress(toPorts({ terminatingTLS: { secret: { name: 'a' }, certificate: 'x' } })),
        `${to}.toPorts[0].terminatingTLS: valid, but TLS contexts ${later}`,
      ],
      [
        egress(
          toPorts({ originatingTLS: { secret: { name: 'a', namespace: 'b' }, trustedCA: 'x' } }),
        ),
        `${to}.toPorts[0].originatingTLS: valid, but TLS contexts ${later}`,
      ],
      [
        egress(
          toPorts({
            listener: {
              name: 'a',
              envoyConfig: { name: 'b', kind: 'CiliumEnvoyConfig' },
              priority: 1,
            },
          }),
        ),
        `${to}.toPorts[0].listener: valid, but listeners ${later}`,
      ],
    ],
    true,
  );

  test('server names beside rules need a TLS context', () => {
    const both = { serverNames: ['a'], rules: { http: [] } };
    expect(textsOf(egress(toPorts(both)))).toContain(
      `${to}.toPorts[0].serverNames: together with rules needs terminatingTLS`,
    );
    const terminatingTLS = { secret: { name: 'a' } };
    const problems = problemsOf(egress(toPorts({ ...both, terminatingTLS })));
    expect(problems.map((each) => each.unsupported)).toEqual([true, true, true]);
  });
});
