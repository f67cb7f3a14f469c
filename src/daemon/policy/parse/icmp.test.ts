import { describe, expect, test } from 'bun:test';
import {
  at,
  cnp,
  egress,
  ingress,
  linesOf,
  repeat,
  ruleOf,
  testAccepted,
  testRefused,
} from './case-fixture.ts';

const icmp = (fields: object) => ingress({ icmps: [{ fields: [fields] }] });

describe('accepted', () => {
  testAccepted([
    [
      'types by number and name',
      ingress({
        icmps: [
          { fields: [{ type: 8 }, { family: 'IPv6', type: 'EchoRequest' }] },
          { fields: [{ family: 'IPv4', type: '255' }, { type: 'EchoReply' }] },
        ],
      }),
      ['ingress[0] allow any on 1:8 58:128 1:255 1:0'],
    ],
    [
      'the same name differs between the families',
      egress({
        icmps: [
          {
            fields: [
              { family: 'IPv4', type: 'DestinationUnreachable' },
              { family: 'IPv6', type: 'DestinationUnreachable' },
              { family: 'IPv6', type: 'NeighborSolicitation' },
              { family: 'IPv4', type: 'RouterAdvertisement' },
              { family: 'IPv6', type: 'RouterAdvertisement' },
            ],
          },
        ],
      }),
      ['egress[0] allow any on 1:3 58:1 58:135 1:9 58:134'],
    ],
    [
      'ICMP denied to some',
      cnp({ ingressDeny: [{ fromEntities: ['host'], icmps: [{ fields: [{ type: 'Echo' }] }] }] }),
      ['ingressDeny[0] deny {reserved:host=[]} on 1:8'],
    ],
  ]);
});

describe('names of ICMP types, as IANA has them', () => {
  test.each([
    [
      'IPv4',
      '0 EchoReply 3 DestinationUnreachable 5 Redirect 8 Echo 8 EchoRequest 9 RouterAdvertisement 10 RouterSelection 11 TimeExceeded 12 ParameterProblem 13 Timestamp 14 TimestampReply 40 Photuris 42 ExtendedEchoRequest 43 ExtendedEchoReply',
    ],
    [
      'IPv6',
      '1 DestinationUnreachable 2 PacketTooBig 3 TimeExceeded 4 ParameterProblem 128 EchoRequest 129 EchoReply 130 MulticastListenerQuery 131 MulticastListenerReport 132 MulticastListenerDone 133 RouterSolicitation 134 RouterAdvertisement 135 NeighborSolicitation 136 NeighborAdvertisement 137 RedirectMessage 138 RouterRenumbering 139 ICMPNodeInformationQuery 140 ICMPNodeInformationResponse 141 InverseNeighborDiscoverySolicitation 142 InverseNeighborDiscoveryAdvertisement 144 HomeAgentAddressDiscoveryRequest 145 HomeAgentAddressDiscoveryReply 146 MobilePrefixSolicitation 147 MobilePrefixAdvertisement 157 DuplicateAddressRequestCodeSuffix 158 DuplicateAddressConfirmationCodeSuffix 160 ExtendedEchoRequest 161 ExtendedEchoReply',
    ],
  ])('%s', (family, table) => {
    const words = table.split(' ');
    const names = words.filter((_, index) => index % 2 === 1);
    const numbers = words.filter((_, index) => index % 2 === 0).map(Number);
    const fields = names.map((type) => ({ family, type }));
    const parsed = ruleOf(ingress({ icmps: [{ fields }] })).ingress?.[0]?.ports;
    const proto = family === 'IPv4' ? 1 : 58;
    expect(parsed).toEqual(numbers.map((type) => ({ proto, first: type, last: type })));
  });

  test('the spelling of the published schema', () => {
    const type = 'ExtendedEcho Reply';
    const fields = [{ type }, { family: 'IPv6', type }];
    expect(linesOf(ruleOf(ingress({ icmps: [{ fields }] })))).toEqual([
      'ingress[0] allow any on 1:43 58:161',
    ]);
  });
});

describe('refused', () => {
  testRefused([
    [
      ingress({ icmps: [{}] }),
      `${at}.icmps[0].fields: names no type; leave icmps out to mean every protocol`,
    ],
    [
      ingress({ icmps: [{ fields: [] }] }),
      `${at}.icmps[0].fields: names no type; leave icmps out to mean every protocol`,
    ],
    [
      ingress({ icmps: [{ fields: repeat(41, { type: 8 }) }] }),
      `${at}.icmps[0].fields: has 41 entries, at most 40 are possible`,
    ],
    [icmp({}), `${at}.icmps[0].fields[0].type: is missing`],
    [icmp({ type: 256 }), `${at}.icmps[0].fields[0].type: must be a number from 0 to 255, is 256`],
    [icmp({ type: '256' }), `${at}.icmps[0].fields[0].type: not a type of IPv4: "256"`],
    [icmp({ type: true }), `${at}.icmps[0].fields[0].type: must be a number or a name, is true`],
    [
      icmp({ type: 'PacketTooBig' }),
      `${at}.icmps[0].fields[0].type: not a type of IPv4: "PacketTooBig"; it is one of family IPv6`,
    ],
    [
      icmp({ type: 'Photuris', family: 'IPv6' }),
      `${at}.icmps[0].fields[0].type: not a type of IPv6: "Photuris"; it is one of family IPv4`,
    ],
    [
      icmp({ type: 'echoRequest' }),
      `${at}.icmps[0].fields[0].type: not a type of IPv4: "echoRequest" (did you mean EchoRequest?)`,
    ],
    [
      icmp({ type: 'EchoReq' }),
      `${at}.icmps[0].fields[0].type: not a type of IPv4: "EchoReq" (did you mean EchoRequest?)`,
    ],
    [
      icmp({ type: 'constructor' }),
      `${at}.icmps[0].fields[0].type: not a type of IPv4: "constructor"`,
    ],
    [
      icmp({ type: 8, family: 'ipv4' }),
      `${at}.icmps[0].fields[0].family: must be one of IPv4, IPv6, is "ipv4" (did you mean IPv4?)`,
    ],
  ]);
});
