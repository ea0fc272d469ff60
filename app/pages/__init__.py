"""The pages of the Streamlit app, thin: widgets and jobs have modules of their own."""
