/** Progress of a long operation. */
export interface Progress {
  phase: 'download' | 'load' | 'tune' | 'tokenize';
  /** Bytes so far; in the phase 'tune', choices made so far, in 'tokenize' images. */
  loaded: number;
  /** Bytes in all, undefined if a server does not report the size; in the phase 'tune', choices in all, in 'tokenize' images. */
  total: number | undefined;
}
