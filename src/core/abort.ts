/** Waiting that an AbortSignal can end. */

/** The result of `work`, or a rejection with a signal's reason as soon as one of `signals` is aborted. */
export function unlessAborted<T>(work: PromiseLike<T>, ...signals: (AbortSignal | undefined)[]): Promise<T> {
  return new Promise((resolve, reject) => {
    const watched = signals.filter((signal) => signal !== undefined);
    const abort = () => reject(watched.find((signal) => signal.aborted)!.reason);
    const done = () => {
      for (const signal of watched) signal.removeEventListener('abort', abort);
    };
    for (const signal of watched) signal.addEventListener('abort', abort);
    if (watched.some((signal) => signal.aborted)) abort();
    // Rejections of `work` after an abort are handled here, and ignored.
    work.then(
      (value) => {
        done();
        resolve(value);
      },
      (error) => {
        done();
        reject(error);
      },
    );
  });
}
