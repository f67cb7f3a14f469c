// What `import … with { type: 'file' }` gives for the files that the build makes: a path.
declare module '*.o' {
  const path: string;
  // biome-ignore lint/style/noDefaultExport: this is the form of Bun's file imports
  export default path;
}
declare module '*.so' {
  const path: string;
  // biome-ignore lint/style/noDefaultExport: this is the form of Bun's file imports
  export default path;
}
