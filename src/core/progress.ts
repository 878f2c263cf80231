/** What a long operation reports: bytes so far and in all (undefined where a server does not tell); of 'tune' choices instead. */
export interface Progress {
  phase: 'download' | 'load' | 'tune';
  loaded: number;
  total: number | undefined;
}
