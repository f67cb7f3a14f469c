/**
 * @module The numbers that policy keys have for peers: 0 for whoever it is, 1 for nobody that a
 * selector names, classes, and above the top bit groups, which are coarser.
 */
import { GROUP_BASE } from '../gen/constants.ts';

/** True of the number of a group, false of that of a class. */
export function isGroup(classId: number): boolean {
  return classId >= GROUP_BASE;
}

/** `12`, or `g12` for a group. */
export function peerClassText(classId: number): string {
  return isGroup(classId) ? `g${classId - GROUP_BASE}` : String(classId);
}
