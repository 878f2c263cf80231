/**
 * TypeDoc plugin. It names a destructured parameter, which TypeDoc calls `__namedParameters`, `options` unless `@param` names it.
 */
import { Converter, ReflectionKind } from 'typedoc';

/** @param {import('typedoc').Application} app */
export function load(app) {
  // This runs at the end, after TypeDoc has read the names that `@param` gives.
  app.converter.on(Converter.EVENT_RESOLVE_END, ({ project }) => {
    for (const parameter of project.getReflectionsByKind(ReflectionKind.Parameter))
      if (parameter.name === '__namedParameters') parameter.name = 'options';
  });
}
