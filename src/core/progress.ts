/** Progress of a long operation. */
export interface Progress {
  phase: 'download' | 'load' | 'tune';
  /** Bytes so far; in the phase 'tune', choices made so far. */
  loaded: number;
  /** Bytes in all, undefined if a server does not report the size; in the phase 'tune', choices in all. */
  total: number | undefined;
}
