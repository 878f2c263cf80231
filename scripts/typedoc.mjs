/** TypeDoc plugin: a destructured parameter, which TypeDoc calls `__namedParameters`, is `options` unless `@param` names it. */
import { Converter, ReflectionKind } from 'typedoc';

/** @param {import('typedoc').Application} app */
export function load(app) {
  // At the end, when TypeDoc has taken the names that `@param` gives.
  app.converter.on(Converter.EVENT_RESOLVE_END, ({ project }) => {
    for (const parameter of project.getReflectionsByKind(ReflectionKind.Parameter))
      if (parameter.name === '__namedParameters') parameter.name = 'options';
  });
}
