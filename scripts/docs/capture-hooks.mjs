/** Module hooks that give captured-service.mjs to whoever asks for run-service, but for captured-service.mjs itself. */
const standIn = new URL('./captured-service.mjs', import.meta.url).href;

export function resolve(specifier, context, nextResolve) {
  if (specifier === '@hydrant/shared/runtime/run-service' && context.parentURL !== standIn)
    return { url: standIn, shortCircuit: true };
  return nextResolve(specifier, context);
}
