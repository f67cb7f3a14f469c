/**
 * @module The clsact queueing discipline, which carries no packets but gives an interface its tc
 * hooks on kernels without tcx.
 */
import type { IfIndex } from '../if-index.ts';
import { NLM_F_CREATE, NLM_F_EXCL, RTM_DELQDISC, RTM_NEWQDISC } from './constants.ts';
import { type MessageWriter, type Request, request } from './message.ts';

const TCA_KIND = 1;
const TC_H_CLSACT = 0xfffffff1;
/** ffff:0, the handle that the kernel gives clsact. */
const clsactHandle = 0xffff0000;

/** sizeof(struct tcmsg). */
const headerLength = 20;

/** Adds clsact; that it is there already is success. */
export function addClsact(device: IfIndex): Request {
  const flags = NLM_F_CREATE | NLM_F_EXCL;
  const doing = `add clsact to link ${device}`;
  return request(RTM_NEWQDISC, flags, doing, (writer) => fill(writer, device), ['EEXIST']);
}

/** Deletes clsact with every filter on it. Absent is success. */
export function deleteClsact(device: IfIndex): Request {
  const doing = `delete clsact of link ${device}`;
  // The kernel answers EINVAL or ENOENT when the interface has none.
  const settled = ['ENOENT', 'EINVAL', 'ENODEV'];
  return request(RTM_DELQDISC, 0, doing, (writer) => fill(writer, device), settled);
}

function fill(writer: MessageWriter, device: IfIndex): void {
  writer.struct(headerLength, (view) => {
    view.setInt32(4, device, true);
    view.setUint32(8, clsactHandle, true);
    view.setUint32(12, TC_H_CLSACT, true);
  });
  writer.text(TCA_KIND, 'clsact');
}
